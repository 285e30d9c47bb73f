//! Redis: script calls through the whole harness, against `redis-benchmark` and against a bare
//! loop over redis-rs, on the same server with the same scripts, payload and connections.

use redis::IntoConnectionInfo as _;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use sessionbench::clock::{self, Instant};
use sessionbench::measure::{EndDesign, Recorder, Setup};
use sessionbench::providers::redis::settings::{RedisMicrosoft, RedisSettings};
use sessionbench::providers::{self, Provider, ProviderSettings, Seat};
use sessionbench::session::module::{
    Access, Constants, Ending, Request, Session, SessionStateModule,
};
use sessionbench::session::observer::{Observer, RequestNumber, ServerIndex};
use sessionbench::session::settings::ModuleSettings;
use sessionbench::session::value::TextPool;
use sessionbench::session::{Minutes, RequestContext, SessionId, Stamp, StoreKind};
use sessionbench::traffic::shared_id;
use sessionbench::usage::ProcessUse;
use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

/// Connections, of the harness and of what it is compared with.
const CONNECTIONS: u32 = 50;
/// Page requests in progress: one for each connection, as `redis-benchmark` has it; and more than
/// connections, so that the server always has work, as the genuine client's multiplexing has it.
const IN_PROGRESS: [u32; 2] = [CONNECTIONS, 4 * CONNECTIONS];
/// Bytes of session data.
const PAYLOAD: usize = 1024;
/// How long each measurement takes: short, since the machine's speed changes within seconds.
const LASTS: Duration = Duration::from_secs(1);
/// Rounds in which all are measured one after the other.
const ROUNDS: usize = 11;
/// Calls of one `redis-benchmark`.
const CALLS: u32 = 20_000;

/// A lock's value.
const TICKS: &str = "638000000000000000";
/// In place of a lock's value: whoever holds the lock.
const ANY: &str = "";

const TAKE_LOCK: &str = include_str!("../../src/providers/redis/scripts/v5/take_lock.lua");
const UPDATE: &str = include_str!("../../src/providers/redis/scripts/v5/update.lua");
const RELEASE: &str = include_str!("../../src/providers/redis/scripts/v5/release.lua");

/// Calls, calls per second, and the CPU time of this process per call.
#[derive(Clone, Copy)]
struct Speed {
    calls: f64,
    per_second: f64,
    cpu_per_call: f64,
}

/// What the server has done so far.
struct Server {
    /// Commands, those that scripts call among them.
    commands: f64,
    /// Its CPU time in seconds.
    cpu: f64,
    read: Instant,
}

/// The server's work.
struct Work {
    /// Commands per call.
    commands: f64,
    /// Share of a processor.
    busy: f64,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = self.busy * 100.0;
        write!(
            f,
            "{:.2} commands per call, {percent:.0} % busy",
            self.commands
        )
    }
}

impl Server {
    fn read(address: &str) -> Result<Self, String> {
        let info = run("redis-cli", address, &["INFO", "ALL"].map(str::to_owned))?;
        let sum = |before: &str, after: char| {
            let found = info.split(before).skip(1);
            let numbers =
                found.filter_map(|rest| rest.split(after).next()?.trim().parse::<f64>().ok());
            numbers.sum::<f64>()
        };
        Ok(Self {
            commands: sum("calls=", ','),
            cpu: sum("used_cpu_sys:", '\n') + sum("used_cpu_user:", '\n'),
            read: clock::now(),
        })
    }

    /// What it did per call since then, and how busy it was.
    fn since(&self, before: &Self, calls: f64) -> Work {
        let elapsed = self.read.since(before.read).as_secs_f64();
        Work {
            commands: (self.commands - before.commands) / calls,
            busy: (self.cpu - before.cpu) / elapsed,
        }
    }
}

/// Measures and prints.
pub fn measure() {
    println!("Redis, {CONNECTIONS} connections, {PAYLOAD} B of session data");
    match clock::run_real(compare()) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => println!("  {error}"),
        Err(error) => println!("  the clock cannot run here: {error}"),
    }
}

async fn compare() -> Result<(), String> {
    let redis = RedisSettings {
        connections_per_server: CONNECTIONS,
        ..RedisSettings::default()
    };
    let settings = RedisMicrosoft {
        redis,
        ..RedisMicrosoft::default()
    };
    let settings = ProviderSettings::RedisMicrosoft(settings);
    let provider = providers::connect(&settings, "bench")
        .await
        .map_err(|e| e.to_string())?;
    let address = provider
        .server()
        .map(|server| server.address.clone())
        .unwrap_or_default();
    let process_id = provider
        .server()
        .and_then(|server| server.settings.get("process_id"));
    println!(
        "  placement: {}",
        apart(process_id.and_then(|id| id.parse().ok()))
    );
    for in_progress in IN_PROGRESS {
        side_by_side(&provider, &address, in_progress).await?;
    }
    provider.close().await.map_err(|error| error.to_string())
}

/// Measures all with so many page requests in progress, and prints.
async fn side_by_side(
    provider: &Rc<dyn Provider>,
    address: &str,
    in_progress: u32,
) -> Result<(), String> {
    println!("  {in_progress} dirty page requests in progress");
    let mut ratios = Vec::new();
    let mut by_commands = Vec::new();
    let mut above = Vec::new();
    for round in 1..=ROUNDS {
        let began = Server::read(address)?;
        let harness = page_requests(provider, in_progress).await?;
        let played = Server::read(address)?;
        let bare = bare_loop(address, in_progress)
            .await
            .map_err(|error| error.to_string())?;
        let looped = Server::read(address)?;
        let benchmark = redis_benchmark(address)?;
        let done = Server::read(address)?;
        let by_harness = played.since(&began, harness.calls);
        let by_bare = looped.since(&played, bare.calls);
        let by_benchmark = done.since(&looped, f64::from(3 * CALLS));
        let ratio = harness.per_second / benchmark;
        ratios.push(ratio);
        by_commands.push(ratio * by_harness.commands / by_benchmark.commands);
        above.push((harness.cpu_per_call - bare.cpu_per_call) * 1e6);
        println!(
            "  round {round}: harness {:.0} calls/s, redis-benchmark {benchmark:.0}, bare redis-rs \
             {:.0}; CPU per call {:.2} µs against {:.2} µs",
            harness.per_second,
            bare.per_second,
            harness.cpu_per_call * 1e6,
            bare.cpu_per_call * 1e6,
        );
        println!("    the server: {by_harness}; {by_benchmark}; {by_bare}");
    }
    println!(
        "  harness / redis-benchmark {:6.2}      limit 0.9 (median); {:.2} by the commands that the \
         server ran",
        median(&mut ratios),
        median(&mut by_commands),
    );
    println!(
        "  CPU above the bare loop   {:6.2} µs   limit 1 µs (median)",
        median(&mut above)
    );
    Ok(())
}

/// Gives the server a processor of its own, and this process, with the `redis-benchmark` that it
/// starts, another one: the scheduler would move them about in the middle of a measurement.
#[cfg(target_os = "linux")]
fn apart(server: Option<i32>) -> String {
    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_setaffinity};
    let pin = |process: Option<Pid>, processor| {
        let mut set = CpuSet::new();
        set.set(processor);
        sched_setaffinity(process, &set).is_ok()
    };
    let server = server.and_then(Pid::from_raw);
    if server.is_some() && pin(server, 0) && pin(None, 1) {
        "the server on processor 0, its clients on processor 1".to_owned()
    } else {
        "left to the scheduler".to_owned()
    }
}

#[cfg(not(target_os = "linux"))]
fn apart(_server: Option<i32>) -> String {
    "left to the scheduler".to_owned()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Dirty page requests through module, provider and recorder, as in a run.
async fn page_requests(provider: &Rc<dyn Provider>, visitors: u32) -> Result<Speed, String> {
    let minute = Duration::from_secs(60);
    let seat = Seat {
        server: 0,
        kind: StoreKind::Private,
        timeout: Minutes(20),
        minute,
        execution_timeout: Duration::from_secs(110),
    };
    let store = provider
        .open(&seat)
        .await
        .map_err(|error| error.to_string())?;
    let recorder = Rc::new(Recorder::new(Setup {
        servers: vec![("bench".to_owned(), 0)],
        started: clock::now(),
        measured_from: clock::now(),
        measured_until: clock::now() + LASTS * 10,
        minute,
        ends: [EndDesign { detection: None }; 2],
        shared_id,
        seed: 1,
    }));
    let observer: Rc<dyn Observer> = Rc::clone(&recorder) as Rc<dyn Observer>;
    let constants = Constants::of(&ModuleSettings::default(), StoreKind::Private);
    let module = Rc::new(SessionStateModule::new(
        store,
        observer,
        ServerIndex(0),
        constants,
    ));
    let text = Rc::new(TextPool::new(1, 0.5));
    let calls = Rc::new(Cell::new(0u64));
    let numbers = Rc::new(Cell::new(0u64));
    let until = clock::now() + LASTS;
    let tasks = (0..visitors).map(|visitor| {
        let id = SessionId::private(u128::from(visitor) + 1);
        let (module, text) = (Rc::clone(&module), Rc::clone(&text));
        let (calls, numbers) = (Rc::clone(&calls), Rc::clone(&numbers));
        async move {
            let mut stored = false;
            while clock::now() < until {
                numbers.set(numbers.get() + 1);
                let number = numbers.get();
                let context = RequestContext::default();
                let request = Request {
                    number: RequestNumber(number),
                    started: clock::now(),
                    context,
                };
                let mut session = match stored {
                    true => {
                        let access = Access::Exclusive;
                        let acquired = module.acquire(&request, id, access, Minutes(20)).await;
                        acquired.map_err(|error| error.to_string())?
                    }
                    false => Session::without_cookie(id, Minutes(20)),
                };
                let stamp = Stamp::read(&session.item).unwrap_or(Stamp::begin(1, number));
                let stamp = stamp.updated(number, 1);
                stamp.write(&mut session.item, &text, PAYLOAD as u32);
                let released = module.release(&request, &session, Ending::Success).await;
                stored = released.map_err(|error| error.to_string())?;
                let ended = module.end_request(&request, id).await;
                ended.map_err(|error| error.to_string())?;
                calls.set(calls.get() + u64::from(request.context.round_trips.get()));
            }
            Ok::<(), String>(())
        }
    });
    let speed = timed(tasks.collect(), &calls).await;
    for outcome in speed.1 {
        outcome?;
    }
    Ok(speed.0)
}

/// The same three scripts in a loop over redis-rs and nothing else.
async fn bare_loop(address: &str, visitors: u32) -> redis::RedisResult<Speed> {
    // As the harness and `redis-benchmark` have it. Without it, Nagle's algorithm lets several calls share
    // a packet, and leaves a part of the work of sending them to the server's processor.
    let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
    let at = format!("redis://{address}").into_connection_info()?;
    let client = redis::Client::open(at.set_tcp_settings(tcp))?;
    let calls = Rc::new(Cell::new(0u64));
    let until = clock::now() + LASTS;
    let mut tasks = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(client.get_multiplexed_async_connection().await?);
    }
    let connections = Rc::new(connections);
    // The connections in turn, as the harness uses them: else the same visitors would meet on the
    // same connection again and again, and their calls travel together.
    let turn = Rc::new(Cell::new(0));
    for visitor in 0..visitors {
        let commands = commands(&mut connections[0].clone(), visitor).await?;
        let (connections, turn) = (Rc::clone(&connections), Rc::clone(&turn));
        let calls = Rc::clone(&calls);
        tasks.push(async move {
            while clock::now() < until {
                for command in &commands {
                    turn.set((turn.get() + 1) % connections.len());
                    let mut connection = connections[turn.get()].clone();
                    connection.req_packed_command(command).await?;
                    calls.set(calls.get() + 1);
                }
            }
            Ok::<(), redis::RedisError>(())
        });
    }
    let (speed, outcomes) = timed(tasks, &calls).await;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(speed)
}

/// The three calls of a dirty page request, ready to be sent.
async fn commands(
    connection: &mut MultiplexedConnection,
    visitor: u32,
) -> redis::RedisResult<[redis::Cmd; 3]> {
    let mut ready = Vec::new();
    for (script, arguments) in [
        (TAKE_LOCK, taking()),
        (UPDATE, updating(TICKS)),
        (RELEASE, releasing()),
    ] {
        let hash: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(script)
            .query_async(connection)
            .await?;
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(hash)
            .arg(3)
            .arg(&keys(&format!("bare{visitor}"))[..])
            .arg(&arguments[..]);
        ready.push(command);
    }
    let [take, update, release] = ready.try_into().unwrap_or_else(|_| unreachable!());
    Ok([take, update, release])
}

fn keys(session: &str) -> [String; 3] {
    ["WriteLock", "SessionStateItemCollection", "SessionTimeout"]
        .map(|name| format!("{{bench_{session}}}_{name}"))
}

fn taking() -> Vec<String> {
    [TICKS, "110"].map(str::to_owned).into()
}

fn updating(lock: &str) -> Vec<String> {
    let data = "x".repeat(PAYLOAD);
    [
        lock,
        "1200",
        "0",
        "9",
        "8",
        "1",
        "9",
        "10",
        "SessionState",
        &data,
    ]
    .map(str::to_owned)
    .into()
}

fn releasing() -> Vec<String> {
    [TICKS, "1200"].map(str::to_owned).into()
}

/// Runs tasks to their end.
async fn timed<T: 'static, F: Future<Output = T> + 'static>(
    tasks: Vec<F>,
    calls: &Cell<u64>,
) -> (Speed, Vec<T>) {
    let (cpu, started): (Duration, Instant) = (ProcessUse::now().cpu, clock::now());
    let tasks: Vec<_> = tasks.into_iter().map(clock::spawn).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await);
    }
    let cpu = ProcessUse::now().cpu - cpu;
    let calls = calls.get() as f64;
    let speed = Speed {
        calls,
        per_second: calls / clock::now().since(started).as_secs_f64(),
        cpu_per_call: cpu.as_secs_f64() / calls,
    };
    (speed, outcomes)
}

/// What `redis-benchmark` reaches with the three scripts in equal parts.
///
/// It sends each script alone, so after the first update of a session its lock would be gone, and all
/// later updates would do nothing. They write whoever holds the lock: one GET less than a real one.
/// The update comes first, so that there are data to read.
fn redis_benchmark(address: &str) -> Result<f64, String> {
    let mut seconds_per_call = 0.0;
    for (script, arguments) in [
        (UPDATE, updating(ANY)),
        (TAKE_LOCK, taking()),
        (RELEASE, releasing()),
    ] {
        let load = ["SCRIPT", "LOAD", script].map(str::to_owned);
        let hash = run("redis-cli", address, &load)?.trim().to_owned();
        let mut call = vec![
            "-c".to_owned(),
            CONNECTIONS.to_string(),
            "-n".to_owned(),
            CALLS.to_string(),
            "-r".to_owned(),
            CONNECTIONS.to_string(),
            "--csv".to_owned(),
            "EVALSHA".to_owned(),
            hash,
            "3".to_owned(),
        ];
        call.extend(keys("__rand_int__"));
        call.extend(arguments);
        let table = run("redis-benchmark", address, &call)?;
        let per_second = table.lines().last().and_then(|line| line.split(',').nth(1));
        let per_second: f64 = per_second
            .and_then(|field| field.trim_matches('"').parse().ok())
            .ok_or_else(|| format!("redis-benchmark answered: {table}"))?;
        seconds_per_call += 1.0 / per_second / 3.0;
    }
    Ok(1.0 / seconds_per_call)
}

/// What a program says that talks to the server.
fn run(program: &str, address: &str, arguments: &[String]) -> Result<String, String> {
    let (host, port) = address.rsplit_once(':').ok_or("the server has no port")?;
    let mut command = Command::new(program);
    command.args(["-h", host, "-p", port]).args(arguments);
    let output = command.output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
