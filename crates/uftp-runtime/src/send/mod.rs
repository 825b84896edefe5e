//! The program `uftp`: from command line to exit code.

mod introduction;
mod losses;

use std::ffi::OsString;
use std::future::pending;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use tokio::sync::oneshot;
use uftp_net::Socket;
use uftp_session::Clock;
use uftp_session::files::FileSource;
use uftp_session::sender::{ClientEntry, Outcome, Sender, SenderEvent};

use crate::common;
use crate::driver::{Control, Driver, Tally, Watcher};
use crate::events::{EventOut, SenderEvents};
use crate::exit::{Exit, Failure};
use crate::log::{self, LogFile, Sink, Tag, time};
use crate::options::Parsed;
use crate::options::uftp::{Args, SendJob};
use crate::progress::{Display, Feed, Shared};
use crate::say;
use crate::session_thread::SessionThread;
use crate::signals::{Asked, Signals};
use crate::source::{self, DiskSource, Restart};
use crate::status::{SenderStatus, StatusOut, file_type_word};
use crate::story::SenderStory;
use losses::Losses;

/// Runs `uftp` with these words, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    common::run(words, |parsed: Parsed<Args>| match parsed {
        Parsed::Show(text) => common::show(&text),
        Parsed::Run(args) => run(args),
    })
}

fn run(args: Args) -> Result<Exit, Failure> {
    let sink = Sink::stderr();
    // Nothing is sent, so there is nothing for a log to keep.
    let looks_only = args.common.general.check || args.dry_run;
    if let Some(path) = args.common.log.file().map(Path::new) {
        let not_open = |error| log::not_open(path, &error);
        if looks_only {
            common::can_append(path).map_err(not_open)?;
        } else {
            let opened = LogFile::open(path, args.common.log.rolling());
            let opened = opened.and_then(|mut file| file.hold_stderr().map(|()| file));
            sink.redirect(opened.map_err(not_open)?);
        }
    }
    let stamped = args.wants_timestamps();
    log::install(
        sink.clone(),
        args.common.log.log_level,
        args.common.log.look(stamped),
    );
    let exit = common::runtime()?.block_on(send(args, sink))?;
    if !stamped && !looks_only {
        say!(2, "uftp: Finishing at {}", time::ctime());
    }
    Ok(exit)
}

async fn send(args: Args, sink: Sink) -> Result<Exit, Failure> {
    let mut rng = common::seeded()?;
    let now = Instant::now();
    let shared = Shared::default();
    let display = Display::new(&args, shared.clone(), sink.clone());
    let job = args.validate(&mut rng).await?;
    if args.common.general.check {
        return check(&args, &job);
    }
    if args.dry_run {
        return list(job);
    }
    if args.files_from.is_empty() {
        // They may come before their turn does. A list may be too long to look at twice.
        missing(&job.files).for_each(|text| say!(1, "{text}"));
    }
    let status = StatusOut::open(args.status_file.as_deref(), &sink);
    let status = status.map_err(|failure| failure.about("-S"))?;
    let events = EventOut::open(args.common.events.events.as_deref())?;
    let mut signals = Signals::of_program()?;
    let socket = common::bind(&job.socket)?;
    let tag = Tag::of_session(job.config.group, job.config.instance);
    introduction::tell(&job, tag, args.wants_timestamps());

    let (end, ended) = oneshot::channel();
    let watcher = SendWatcher {
        story: SenderStory::new(&job.config, args.common.log.log_level),
        status: SenderStatus::new(status).of_session(&job.config),
        events: SenderEvents::begin(events, &job.config, now),
        losses: Losses::default(),
        progress: display.is_some().then(|| Feed::new(shared, now)),
        end: Some(end),
    };
    let resumable = job.restartable.then(|| job.files.clone());
    let source = DiskSource::new(job.files, job.source, Some(tag));
    let skipped = source.skipped();
    // Keys may have been made since `now`.
    let clock = Clock::new(Instant::now(), common::wall_clock());
    let machine = Sender::new(job.config, source, clock, rng, now);
    let control = Control::new()?;
    let driver = Driver::new(socket, control.clone(), machine, watcher);
    let tally = SessionThread::start(move || driver.run())?;
    let tally = watch(tally, &mut signals, &control, display).await?;
    let Ok(end) = ended.await else {
        return Ok(Exit::Interrupted);
    };
    if let Some(files) = resumable
        && end.unfinished.iter().any(|c| !c.proxy)
    {
        leave(&Restart {
            group: tag.group,
            instance: tag.instance,
            files,
            clients: end.unfinished,
        });
    }
    Ok(match exit(end.outcome, &tally) {
        Exit::Success if args.strict => end.losses.exit(&skipped),
        ended => ended,
    })
}

/// Looks whether all is there and can be written, and sends nothing.
fn check(args: &Args, job: &SendJob) -> Result<Exit, Failure> {
    let here = Path::new("");
    StatusOut::try_out(args.status_file.as_deref(), here).map_err(|failure| failure.about("-S"))?;
    EventOut::try_out(args.common.events.events.as_deref(), here)?;
    missing(&job.files).next().map_or_else(
        || common::in_order("uftp"),
        |text| Err(Failure::command_line(text)),
    )
}

/// Those of the files to send that are not there now, each with the reason.
fn missing(files: &[OsString]) -> impl Iterator<Item = String> {
    let on_disk = files.iter().filter(|file| !source::is_request(file));
    on_disk.filter_map(|file| {
        let path = Path::new(source::without_slashes(file));
        let error = path.symlink_metadata().err()?;
        let name = log::printable(file.as_bytes());
        Some(format!("Can't find {name}, which is to be sent: {error}"))
    })
}

/// Shows what would be sent, under which names, and sends nothing.
fn list(job: SendJob) -> Result<Exit, Failure> {
    let mut source = DiskSource::new(job.files, job.source, None);
    let (mut items, mut bytes) = (0_u64, 0_u64);
    let mut text = String::new();
    while let Some(item) = source.next_item() {
        let kind = file_type_word(item.file_type);
        let name = log::printable(&item.name);
        text += &format!("{kind}\t{}\t{name}\n", item.size);
        items += 1;
        bytes = bytes.saturating_add(item.size);
    }
    text += &format!("{items} items, {bytes} bytes\n");
    common::show(&text)?;
    Ok(match items {
        0 => Exit::NothingAccepted,
        _ => Exit::Success,
    })
}

/// Leaves a file to resume the session from. It is the last that can be done for the session:
/// an error changes nothing about how that ended.
fn leave(restart: &Restart) {
    match restart.write(Path::new(".")) {
        Ok(path) => say!(2, "To resume this session: uftp -F {}", path.display()),
        Err(error) => {
            let name = restart.file_name();
            say!(0, "Failed to write restart file {name}: {error}");
        }
    }
}

/// Waits for the end of the driver; passes signals on and shows progress.
async fn watch(
    mut tally: SessionThread<Result<Tally, Failure>>,
    signals: &mut Signals,
    control: &Control,
    mut display: Option<Display>,
) -> Result<Tally, Failure> {
    let mut ticks = display
        .as_ref()
        .map(|d| tokio::time::interval(d.interval()));
    let mut stopping = false;
    let ended = loop {
        let tick = async {
            match &mut ticks {
                Some(ticks) => ticks.tick().await,
                None => pending().await,
            }
        };
        tokio::select! {
            ended = tally.ended() => break ended,
            asked = signals.next() => match asked {
                Asked::Stop(number) => {
                    say!(0, "Got signal {number}, aborting");
                    if stopping {
                        std::process::exit(Exit::Interrupted as i32);
                    }
                    stopping = true;
                    say!(0, "Aborting all clients");
                    control.stop();
                }
                Asked::Counters => control.tell_counters(),
                Asked::Reload => {}
            },
            _ = tick => if let Some(display) = &mut display {
                display.draw(Instant::now());
            },
        }
    };
    if let Some(display) = &mut display {
        display.clear();
    }
    ended.flatten()
}

/// The exit code of a session. A network that took nothing is its own failure.
fn exit(outcome: Outcome, tally: &Tally) -> Exit {
    match outcome {
        Outcome::NobodyRegistered if tally.sent == 0 && tally.refused > 0 => Exit::Network,
        _ => outcome.into(),
    }
}

/// How a session ended.
struct End {
    outcome: Outcome,
    losses: Losses,
    /// Who has not got everything.
    unfinished: Vec<ClientEntry>,
}

/// Renders the events of a sender.
struct SendWatcher {
    story: SenderStory,
    status: SenderStatus,
    events: SenderEvents,
    losses: Losses,
    progress: Option<Feed>,
    end: Option<oneshot::Sender<End>>,
}

impl Watcher<Sender<DiskSource>> for SendWatcher {
    fn event(
        &mut self,
        _now: Instant,
        machine: &mut Sender<DiskSource>,
        _socket: &Socket,
        event: SenderEvent,
    ) {
        self.status.event(&event, |uid| machine.client_name(uid));
        self.losses.note(&event);
        if let Some(feed) = &mut self.progress {
            feed.refresh(machine.progress());
        }
        self.story.event(&event, |uid| machine.client_name(uid));
        self.events.event(&event, |uid| machine.client_name(uid));
        if let SenderEvent::Finished(outcome) = event
            && let Some(waiting) = self.end.take()
        {
            // Nobody waits any more only if the program is already ending.
            let _ = waiting.send(End {
                outcome,
                unfinished: machine.unfinished(),
                losses: std::mem::take(&mut self.losses),
            });
        }
    }

    fn turn(&mut self, now: Instant, machine: &Sender<DiskSource>) {
        if let Some(feed) = &mut self.progress {
            feed.turn(now, || machine.progress());
        }
        self.events.turn(now, || machine.progress());
    }

    fn silenced(&mut self, words: Option<&str>) {
        self.story.silenced(words);
    }

    fn tell_counters(&mut self, machine: &Sender<DiskSource>) {
        common::tell_counters(machine.counters());
    }
}
