# shellcheck shell=bash
# What the scripts share: messages, and bringing in what is missing. Sourced, not run.

# A heading, so that a long log can be read.
step() {
    printf '\n== %s\n' "$*"
}

# Says what is wrong and stops. Exit code 2: usage or configuration, as sessionbench itself has it.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Installs Debian packages; elsewhere says what to install.
install_packages() {
    have apt-get || die "please install: $*. This script can do it on Debian and Ubuntu only" \
        "(macOS: brew install redis postgresql; Fedora: dnf install redis postgresql-server)."
    local -a as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || die "installing $* needs root and there is no sudo: run" \
            "'apt-get install $*' as root, then this script again."
        as_root=(sudo)
    fi
    # The lists of a fresh image are empty or old.
    "${as_root[@]}" apt-get update -q ||
        printf 'warning: apt-get update failed; trying with the lists that are there\n' >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@" || die "apt-get could not install $*"
}

# Makes sure that a program is there: `need <program> <package> <install: yes|no>`.
need() {
    local program=$1 package=$2 install=$3
    have "$program" && return
    [ "$install" = yes ] ||
        die "$program is missing and --no-install was given: install $package, then try again."
    printf '%s is missing: installing %s.\n' "$program" "$package"
    install_packages "$package"
    have "$program" || die "$package is installed, but there is still no $program in PATH."
}

# redis-server as a program. Every server that sessionbench starts is a child of its own on a free
# port, so the service that the package may start on port 6379 is neither used nor touched.
need_redis_server() {
    need redis-server redis-server "$1"
}

# PostgreSQL as a program, found as src/servers/postgres.rs finds it. Debian's package would make and
# start a database cluster of its own, which nobody here uses: where nothing is configured yet, it is
# told not to.
need_postgres() {
    have initdb && return
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return
    [ "$1" = yes ] ||
        die "PostgreSQL is missing and --no-install was given: install postgresql, then try again."
    printf 'PostgreSQL is missing: installing postgresql, without a database cluster of its own.\n'
    local settings=/etc/postgresql-common/createcluster.conf
    local -a as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    if have apt-get && [ ! -e "$settings" ] && { [ "$(id -u)" -eq 0 ] || have sudo; }; then
        "${as_root[@]}" mkdir -p "${settings%/*}"
        printf 'create_main_cluster = false\n' | "${as_root[@]}" tee "$settings" >/dev/null
    fi
    install_packages postgresql
    have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        die "postgresql is installed, but there is no initdb."
}

# Rust, as new as Cargo.toml asks (`rust-version`), and the linker that it calls.
need_rust() {
    have cargo ||
        die "Rust is missing: install it as https://rust-lang.org/tools/install says, then try again."
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        die "Rust $wanted or later is needed, and this is $found: run 'rustup update stable'."
    need cc gcc "$1"
}

# A component of Rust that a minimal installation leaves out: `need_component <program> <name>`.
need_component() {
    cargo "$1" --version >/dev/null 2>&1 && return
    have rustup || die "cargo $1 is missing: install your distribution's $2, or Rust by rustup."
    printf 'cargo %s is missing: adding the component %s.\n' "$1" "$2"
    rustup component add "$2" || die "rustup could not add $2"
}
