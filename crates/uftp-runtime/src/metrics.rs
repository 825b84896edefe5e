//! Counters and gauges for Prometheus (`--metrics`).
//!
//! The counts are those of the session machine; scraping reads them and disturbs no session.

use std::net::SocketAddr;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use uftp_session::proxy::{Flow, ProxyEvent, ProxyEventKind, Traffic};
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind};
use uftp_session::{Counters, Refusal};

use crate::exit::Failure;
use crate::proxy_sessions::{Closed, ProxySessions};
use crate::status::{receiver_word, was_received};

/// Serves them over HTTP at `addr` from now on.
///
/// # Errors
/// The address is taken or not ours.
pub(crate) fn serve(addr: SocketAddr) -> Result<(), Failure> {
    PrometheusBuilder::new()
        .with_http_listener(addr)
        .install()
        .map_err(|error| Failure::network(format!("can't serve metrics at {addr}: {error}")))
}

/// What every machine counts.
pub(crate) struct MachineMeters {
    received: Counter,
    sent: Counter,
    refused: Vec<(Refusal, Counter)>,
}

impl MachineMeters {
    pub(crate) fn new() -> Self {
        describe_counter!("uftp_datagrams_received_total", "Datagrams received");
        describe_counter!("uftp_datagrams_sent_total", "Datagrams sent");
        describe_counter!(
            "uftp_datagrams_refused_total",
            "Datagrams received that changed nothing, by reason"
        );
        let refused = |why: &Refusal| {
            let reason = why.name().replace(' ', "_");
            (
                *why,
                counter!("uftp_datagrams_refused_total", "reason" => reason),
            )
        };
        MachineMeters {
            received: counter!("uftp_datagrams_received_total"),
            sent: counter!("uftp_datagrams_sent_total"),
            refused: Refusal::ALL.iter().map(refused).collect(),
        }
    }

    pub(crate) fn read(&self, counters: &Counters) {
        self.received.absolute(counters.received);
        self.sent.absolute(counters.sent);
        for (why, meter) in &self.refused {
            meter.absolute(counters.refused(*why));
        }
    }
}

/// Sessions as every daemon counts them.
struct SessionMeters {
    under_way: Gauge,
}

impl SessionMeters {
    fn new() -> Self {
        describe_gauge!("uftp_sessions", "Sessions under way");
        describe_counter!(
            "uftp_sessions_finished_total",
            "Sessions that ended, by outcome"
        );
        SessionMeters {
            under_way: gauge!("uftp_sessions"),
        }
    }

    fn ended(&self, outcome: &'static str) {
        counter!("uftp_sessions_finished_total", "outcome" => outcome).increment(1);
    }
}

/// What a receiver does.
pub(crate) struct ReceiverMeters {
    machine: MachineMeters,
    sessions: SessionMeters,
    bytes: Counter,
    naks: Counter,
}

impl ReceiverMeters {
    pub(crate) fn new() -> Self {
        describe_counter!("uftp_files_total", "Items offered that ended, by status");
        describe_counter!("uftp_file_bytes_total", "Bytes of files received whole");
        describe_counter!(
            "uftp_blocks_asked_again_total",
            "Blocks asked for again (NAKs)"
        );
        ReceiverMeters {
            machine: MachineMeters::new(),
            sessions: SessionMeters::new(),
            bytes: counter!("uftp_file_bytes_total"),
            naks: counter!("uftp_blocks_asked_again_total"),
        }
    }

    pub(crate) fn read(&self, counters: &Counters) {
        self.machine.read(counters);
    }

    pub(crate) fn event(&self, event: &ReceiverEvent) {
        use ReceiverEventKind as K;
        let file = |status: &'static str| counter!("uftp_files_total", "status" => status);
        match &event.kind {
            K::Announced { .. } => self.sessions.under_way.increment(1),
            K::NaksSent { count, .. } => self.naks.increment(u64::from(*count)),
            K::FileFinished { size, status, .. } => {
                file(receiver_word(*status)).increment(1);
                if was_received(*status) {
                    self.bytes.increment(*size);
                }
            }
            K::FileFailed { .. } => file("failed").increment(1),
            K::Ended(reason) => {
                self.sessions.under_way.decrement(1);
                let outcome = match reason {
                    EndReason::Confirmed => "confirmed",
                    EndReason::Unconfirmed => "unconfirmed",
                    EndReason::AbortedByServer(_) => "aborted_by_sender",
                    EndReason::Aborted(_) => "aborted",
                    EndReason::Superseded(_) | EndReason::Encrypted => "superseded",
                };
                self.sessions.ended(outcome);
            }
            _ => {}
        }
    }
}

/// What a proxy does.
pub(crate) struct ProxyMeters {
    machine: MachineMeters,
    sessions: SessionMeters,
    refused: Counter,
    given_up: Counter,
    displaced: Counter,
    clients: Gauge,
    down: FlowMeters,
    up: FlowMeters,
    gathered: Counter,
    gatherings: Counter,
}

/// What goes one way.
struct FlowMeters {
    datagrams: Counter,
    bytes: Counter,
}

impl FlowMeters {
    fn new(way: &'static str) -> Self {
        FlowMeters {
            datagrams: counter!("uftp_proxied_datagrams_total", "direction" => way),
            bytes: counter!("uftp_proxied_bytes_total", "direction" => way),
        }
    }

    fn read(&self, flow: Flow) {
        self.datagrams.absolute(flow.datagrams);
        self.bytes.absolute(flow.bytes);
    }
}

impl ProxyMeters {
    pub(crate) fn new() -> Self {
        describe_counter!(
            "uftp_sessions_refused_total",
            "Sessions that were not taken on"
        );
        describe_counter!(
            "uftp_clients_lost_total",
            "Receivers that proved nothing in time: given up, or others have their places"
        );
        describe_gauge!(
            "uftp_clients",
            "Receivers behind this proxy in the sessions under way"
        );
        describe_counter!(
            "uftp_proxied_datagrams_total",
            "Datagrams passed on or said in sessions: down to receivers, up to senders"
        );
        describe_counter!("uftp_proxied_bytes_total", "Bytes of these datagrams");
        describe_counter!(
            "uftp_answers_gathered_total",
            "Answers of receivers that were gathered"
        );
        describe_counter!(
            "uftp_answers_sent_total",
            "Messages that the gathered answers became"
        );
        ProxyMeters {
            machine: MachineMeters::new(),
            sessions: SessionMeters::new(),
            refused: counter!("uftp_sessions_refused_total"),
            given_up: counter!("uftp_clients_lost_total", "why" => "given_up"),
            displaced: counter!("uftp_clients_lost_total", "why" => "displaced"),
            clients: gauge!("uftp_clients"),
            down: FlowMeters::new("down"),
            up: FlowMeters::new("up"),
            gathered: counter!("uftp_answers_gathered_total"),
            gatherings: counter!("uftp_answers_sent_total"),
        }
    }

    pub(crate) fn read(&self, counters: &Counters, traffic: &Traffic) {
        self.machine.read(counters);
        self.down.read(traffic.down);
        self.up.read(traffic.up);
        self.gathered.absolute(traffic.gathered);
        self.gatherings.absolute(traffic.gatherings);
    }

    /// Something has happened, and stands in `proxy_sessions`; `closed` is the session that is over by it.
    pub(crate) fn event(
        &self,
        event: &ProxyEvent,
        proxy_sessions: &ProxySessions,
        closed: Option<&Closed>,
    ) {
        self.sessions
            .under_way
            .set(proxy_sessions.sessions() as f64);
        self.clients.set(proxy_sessions.clients() as f64);
        match closed {
            Some(closed) => self.sessions.ended(closed.outcome),
            None => match event.kind {
                ProxyEventKind::Refused { .. } => self.refused.increment(1),
                ProxyEventKind::Unregistered { .. } => self.given_up.increment(1),
                ProxyEventKind::Displaced { .. } => self.displaced.increment(1),
                _ => {}
            },
        }
    }
}
