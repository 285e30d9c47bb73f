//! Judges Redis servers by what they say of themselves.
//!
//! In: a survey of every master, and what the scenario demands. Out: findings. Of several masters
//! the worst speaks for all. The surprising fact: a server can be healthy by every measure of a
//! cache and still lose sessions; evicting old keys, keeping nothing on disk and notifying nobody are
//! good settings for a cache.

mod expiry;
mod memory;

use super::demand::Demand;
use super::finding::{Finding, Severity};
use super::server;
use crate::providers::redis::survey::{Rights, Survey, Surveyed, survey};
use crate::providers::redis::{admin, cluster_refusal, notifications};
use crate::providers::{ConnectError, Detection, ProviderSettings, ServerInfo};

/// Bytes of one notification on the wire: the channel with the key's name, and the protocol.
const NOTIFICATION_BYTES: f64 = 200.0;
/// First major version whose expiry scan keeps its place in the keys (facts §11.1).
const SCAN_WITH_CURSOR: u32 = 6;

/// Reaches the servers of a provider and judges them.
///
/// # Errors
/// See [`ConnectError`].
pub async fn examine(
    settings: &ProviderSettings,
    demand: &Demand,
) -> Result<(Option<ServerInfo>, Vec<Finding>), ConnectError> {
    let surveyed = survey(settings).await?;
    let findings = judge(settings, demand, &surveyed);
    Ok((Some(surveyed.server), findings))
}

fn judge(settings: &ProviderSettings, demand: &Demand, surveyed: &Surveyed) -> Vec<Finding> {
    let mut findings = Vec::new();
    if surveyed.is_cluster
        && let Some(why) = cluster_refusal(settings)
    {
        findings.push(
            Finding::new(
                Severity::Problem,
                "cluster",
                "the server is a Redis Cluster",
                why,
            )
            .remedy("Use a single server with replicas, or another provider."),
        );
    }
    let several = surveyed.masters.len() > 1;
    for survey in &surveyed.masters {
        let master = Master {
            settings,
            demand,
            survey,
            masters: surveyed.masters.len() as f64,
            managed: surveyed.server.managed,
        };
        for mut finding in master.judge() {
            if several {
                finding.what = format!("{}: {}", survey.at, finding.what);
            }
            let known = findings.iter_mut().find(|it| it.subject == finding.subject);
            match known {
                Some(known) if known.severity >= finding.severity => {}
                Some(known) => *known = finding,
                None => findings.push(finding),
            }
        }
    }
    findings
}

/// A master, and its share of what is asked.
struct Master<'a> {
    settings: &'a ProviderSettings,
    demand: &'a Demand,
    survey: &'a Survey,
    masters: f64,
    managed: bool,
}

impl Master<'_> {
    fn judge(&self) -> Vec<Finding> {
        let clock = server::clock(
            self.survey.pulse.clock,
            "Deadlines are counted by the server's clock, the age of locks by the web servers', and \
             lateness by ours.",
        );
        let found = [
            Some(self.version()),
            Some(server::round_trip(&self.survey.pulse, self.settings)),
            clock,
            self.cluster(),
            self.replication(),
            self.notifications(),
            Some(expiry::judge(self)),
            Some(memory::policy(self)),
            memory::evicted(self),
            Some(memory::room(self)),
            self.persistence(),
            self.connections(),
            self.subscribers(),
            self.rights(),
        ];
        found.into_iter().flatten().collect()
    }

    /// A setting, if CONFIG is allowed.
    fn setting(&self, name: &str) -> Option<&str> {
        Some(self.survey.config.as_ref()?.get(name)?.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.survey.info.number(name)
    }

    /// Sessions that it will hold.
    fn sessions(&self) -> f64 {
        self.demand.sessions / self.masters
    }

    fn version(&self) -> Finding {
        let version = self.survey.info.text("redis_version").unwrap_or("unknown");
        let major = version
            .split('.')
            .next()
            .and_then(|it| it.parse::<u32>().ok());
        let finding = |severity| {
            let why = "Before version 6 the scan for expired keys takes keys at random, and accepts \
                       that a quarter of them are dead.";
            Finding::new(severity, "version", version, why)
        };
        match major {
            Some(major) if major < SCAN_WITH_CURSOR => {
                finding(Severity::Warning).remedy("Upgrade to a version that is maintained.")
            }
            _ => finding(Severity::Ok),
        }
    }

    fn cluster(&self) -> Option<Finding> {
        let cluster = self.survey.cluster.as_ref()?;
        let state = cluster.text("cluster_state").unwrap_or("unknown");
        let failing = cluster.number::<u64>("cluster_slots_fail").unwrap_or(0)
            + cluster.number::<u64>("cluster_slots_pfail").unwrap_or(0);
        let assigned = cluster.number::<u64>("cluster_slots_assigned").unwrap_or(0);
        let what = format!("state {state}, {assigned} of 16384 slots assigned, {failing} failing");
        let why = "A session whose slot nobody serves can be neither read nor written.";
        let healthy = state == "ok" && failing == 0 && assigned == 16_384;
        Some(match healthy {
            true => Finding::new(Severity::Ok, "cluster state", what, why),
            false => Finding::new(Severity::Problem, "cluster state", what, why)
                .remedy("Bring the cluster into order: `redis-cli --cluster check <node>`."),
        })
    }

    fn replication(&self) -> Option<Finding> {
        if self.managed {
            return None;
        }
        let replicas = self.number("connected_slaves")?;
        let what = format!("{replicas} replicas");
        let why = "Without a replica all sessions are gone with the server. With one, those that \
                   were written in its last moments still are, since replication does not wait; and \
                   a replica that takes over notifies only if it has the same settings.";
        Some(Finding::new(
            if replicas == 0 {
                Severity::Note
            } else {
                Severity::Ok
            },
            "replication",
            what,
            why,
        ))
    }

    fn notifications(&self) -> Option<Finding> {
        let needed = notifications(self.settings)?;
        let why = "Session end is raised only by these notifications; without them no session ever \
                   ends, and no visit is committed.";
        let in_portals = format!(
            "Azure Cache for Redis: in the portal, under Settings, Advanced settings, set \
             notify-keyspace-events to {needed}. Amazon ElastiCache: in the parameter group."
        );
        let Some(flags) = self.setting("notify-keyspace-events") else {
            let what = "CONFIG is not allowed here, so it is not known whether they are on";
            return Some(
                Finding::new(Severity::Warning, "notify-keyspace-events", what, why)
                    .remedy(in_portals),
            );
        };
        if admin::has_flags(flags, needed) {
            let what = format!("\"{flags}\", which has {needed}");
            return Some(Finding::new(
                Severity::Ok,
                "notify-keyspace-events",
                what,
                why,
            ));
        }
        let wanted = admin::with_flags(flags, needed);
        let what = format!("\"{flags}\", which lacks {needed}");
        Some(
            Finding::new(Severity::Problem, "notify-keyspace-events", what, why).remedy(format!(
                "`redis-cli CONFIG SET notify-keyspace-events {wanted}`, and the same in \
                 redis.conf; or `allow_config_set: true` for the run. {in_portals}"
            )),
        )
    }

    fn persistence(&self) -> Option<Finding> {
        const SUBJECT: &str = "persistence";
        if self.managed {
            return None;
        }
        let info = &self.survey.info;
        let stops = self.setting("stop-writes-on-bgsave-error") != Some("no");
        if info.text("rdb_last_bgsave_status") == Some("err") && stops {
            return Some(
                Finding::new(
                    Severity::Problem,
                    SUBJECT,
                    "the last snapshot failed",
                    "A server that cannot save refuses every write (MISCONF), so every page fails.",
                )
                .remedy("Look into the server's log and at the room on its disk."),
            );
        }
        let log = info.text("aof_enabled") == Some("1");
        let snapshots = self.setting("save").map(|save| !save.is_empty());
        let why = "What a restart loses are visits whose session end never comes.";
        let (severity, what) = match (log, snapshots) {
            (true, _) if self.setting("appendfsync") == Some("always") => (
                Severity::Note,
                "every write is on disk before it is answered (appendfsync always)".to_owned(),
            ),
            (true, _) => {
                let when = self.setting("appendfsync").unwrap_or("unknown");
                (
                    Severity::Ok,
                    format!("append-only file, appendfsync {when}"),
                )
            }
            (false, Some(true)) => {
                let save = self.setting("save").unwrap_or_default();
                (Severity::Note, format!("snapshots only (save {save})"))
            }
            (false, Some(false)) => (Severity::Note, "none: a restart loses all".to_owned()),
            (false, None) => (Severity::Note, "no append-only file".to_owned()),
        };
        let finding = Finding::new(severity, SUBJECT, what, why);
        Some(match (severity, log) {
            (Severity::Ok, _) => finding,
            (_, true) => finding.remedy("`appendfsync everysec` loses a second at most."),
            (_, false) => finding
                .remedy("`appendonly yes` with `appendfsync everysec` loses a second at most."),
        })
    }

    fn connections(&self) -> Option<Finding> {
        let limit = self.number("maxclients");
        let limit = limit.or_else(|| self.setting("maxclients")?.parse().ok())?;
        let used = self.number("connected_clients")?;
        let needed = u64::from(self.demand.connections);
        Some(server::connections(needed, used, limit, "maxclients"))
    }

    /// Whether a subscriber survives the end of all sessions at once.
    fn subscribers(&self) -> Option<Finding> {
        let detection = self.settings.capabilities().detection;
        if detection != Some(Detection::Notification) {
            return None;
        }
        let limits = self.setting("client-output-buffer-limit")?;
        let words: Vec<&str> = limits.split_whitespace().collect();
        let class = words.iter().position(|word| *word == "pubsub")?;
        let number = |at: usize| words.get(class + at)?.parse::<f64>().ok();
        // The second limit may be passed for some seconds.
        let (hard, soft) = (number(1)?, number(2)?);
        let burst = self.sessions() * NOTIFICATION_BYTES;
        let smallest = [hard, soft].into_iter().filter(|limit| *limit > 0.0);
        let limit = smallest.fold(f64::INFINITY, f64::min);
        let what = match limit.is_finite() {
            true => format!(
                "{} for a subscriber that does not keep up; the end of all sessions at once is {}",
                server::memory(limit),
                server::memory(burst)
            ),
            false => "no limit for a subscriber that does not keep up".to_owned(),
        };
        let why = "A subscriber that falls behind by more is cut off, and what was sent meanwhile \
                   is lost: those sessions never end.";
        const SUBJECT: &str = "client-output-buffer-limit";
        Some(match burst > limit {
            false => Finding::new(Severity::Ok, SUBJECT, what, why),
            true => Finding::new(Severity::Warning, SUBJECT, what, why).remedy(format!(
                "`redis-cli CONFIG SET client-output-buffer-limit \"pubsub {0} {0} 60\"`.",
                (2.0 * burst).round()
            )),
        })
    }

    fn rights(&self) -> Option<Finding> {
        const SUBJECT: &str = "rights";
        let why = "A command that is refused in the middle of a script fails the request.";
        Some(match &self.survey.rights {
            Rights::Refused(commands) if commands.is_empty() => {
                let what = "the user may send every command of the provider";
                Finding::new(Severity::Ok, SUBJECT, what, why)
            }
            Rights::Refused(commands) => Finding::new(
                Severity::Problem,
                SUBJECT,
                format!("the user may not send {}", commands.join(", ")),
                why,
            )
            .remedy("Grant them on the provider's keys with ACL SETUSER, as README.md shows."),
            Rights::Untold => {
                let what = "the server does not say what the user may do";
                Finding::new(Severity::Note, SUBJECT, what, why)
                    .remedy("A run tries the rights out before it starts.")
            }
        })
    }
}

#[cfg(test)]
mod tests;
