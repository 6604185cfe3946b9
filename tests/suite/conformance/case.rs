//! One row of a table over HTTP/1: what a client sends, what the clause demands, and what Jackfield does.

/// A request, well formed or not.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// `9112 §3.2` for RFC 9112 §3.2; of a form of smuggling its family.
    pub(super) clause: &'static str,
    pub(super) what: &'static str,
    pub(super) sent: Vec<u8>,
    /// What follows once something was answered.
    pub(super) later: Vec<u8>,
    /// Whether the client closes its side then.
    pub(super) ends: bool,
    pub(super) demand: Demand,
    pub(super) expected: Expected,
}

/// What a server has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// To take it, and to keep the connection.
    Take,
    /// To take it, and to close the connection.
    TakeLast,
    /// To refuse it, or to close the connection without an answer.
    Refuse,
    /// Either will do.
    Free,
    /// Never to answer the request that is hidden in it.
    NotFooled,
}

/// What Jackfield does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// The statuses that come, without that of the request behind.
    pub(super) statuses: Vec<u16>,
    /// Whether the request behind is answered.
    pub(super) goes_on: bool,
    /// The last answer's problem.
    pub(super) problem: Option<&'static str>,
    /// What is in the answers: that a plugin saw the request as it was meant.
    pub(super) says: Option<&'static str>,
}

impl Case {
    fn new(clause: &'static str, what: &'static str, sent: impl AsRef<[u8]>, demand: Demand) -> Self {
        let expected = Expected { statuses: Vec::new(), goes_on: false, problem: None, says: None };
        let (sent, later) = (sent.as_ref().to_vec(), Vec::new());
        Self { clause, what, sent, later, ends: false, demand, expected }
    }

    /// What hides a request is answered with these statuses, and the hidden one never is.
    pub(super) fn hiding(
        family: &'static str,
        what: &'static str,
        sent: impl AsRef<[u8]>,
        statuses: &[u16],
    ) -> Self {
        let mut case = Self::new(family, what, sent, Demand::NotFooled);
        case.expected.statuses.extend(statuses);
        case
    }

    /// The clause leaves it open.
    pub(super) fn free(mut self) -> Self {
        self.demand = Demand::Free;
        self
    }

    /// It is refused, though the clause demands that it be taken.
    pub(super) fn though_it_is_allowed(mut self) -> Self {
        self.demand = Demand::Take;
        self
    }

    /// The answer is the last on its connection.
    pub(super) fn last(mut self) -> Self {
        self.expected.goes_on = false;
        if self.demand == Demand::Take {
            self.demand = Demand::TakeLast;
        }
        self
    }

    /// The connection is kept all the same.
    pub(super) fn kept(mut self) -> Self {
        self.expected.goes_on = true;
        self
    }

    /// These statuses, in this order.
    pub(super) fn answered(mut self, statuses: &[u16]) -> Self {
        self.expected.statuses = statuses.to_vec();
        self
    }

    /// It is taken, though the clause demands that it be refused.
    pub(super) fn though_it_is_not_allowed(mut self) -> Self {
        self.demand = Demand::Refuse;
        self
    }

    /// What the clause demands.
    pub(super) fn must(&self) -> &'static str {
        match self.demand {
            Demand::Take => "taken",
            Demand::TakeLast => "taken, and closed",
            Demand::Refuse => "refused",
            Demand::Free | Demand::NotFooled => "",
        }
    }

    /// This is sent when something was answered.
    pub(super) fn then(mut self, later: impl AsRef<[u8]>) -> Self {
        self.later = later.as_ref().to_vec();
        self
    }

    /// The client closes its side behind it.
    pub(super) fn ends(mut self) -> Self {
        self.ends = true;
        self
    }
}

/// It is served, and the plugin sees what `says` says.
pub(super) fn taken(
    clause: &'static str,
    what: &'static str,
    sent: impl AsRef<[u8]>,
    says: &'static str,
) -> Case {
    let mut case = Case::new(clause, what, sent, Demand::Take);
    case.expected.statuses.push(200);
    case.expected.goes_on = true;
    case.expected.says = Some(says);
    case
}

/// It is refused, and the connection ends.
pub(super) fn refused(
    clause: &'static str,
    what: &'static str,
    sent: impl AsRef<[u8]>,
    status: u16,
    problem: &'static str,
) -> Case {
    let mut case = Case::new(clause, what, sent, Demand::Refuse);
    case.expected.statuses.push(status);
    case.expected.problem = Some(problem);
    case
}

/// It is refused as what it is in most cases.
pub(super) fn malformed(clause: &'static str, what: &'static str, sent: impl AsRef<[u8]>) -> Case {
    refused(clause, what, sent, 400, "bad-request")
}

/// A GET of `/echo` with these fields, a line each.
pub(super) fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    message("GET /echo HTTP/1.1\r\nhost: shop.example", fields, "")
}

/// A POST of `/echo` with these fields, and what follows its head.
pub(super) fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    message("POST /echo HTTP/1.1\r\nhost: shop.example", fields, body)
}

/// A POST of a body in chunks, as they are on the wire.
pub(super) fn chunks(chunks: impl AsRef<[u8]>) -> Vec<u8> {
    post("transfer-encoding: chunked", chunks)
}

/// A request of this line.
pub(super) fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    message(line, "host: shop.example", "")
}

/// A head without a `Host`, and what follows it.
pub(super) fn message(begin: impl AsRef<[u8]>, fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = [begin.as_ref(), b"\r\n"].concat();
    if !fields.as_ref().is_empty() {
        bytes.extend([fields.as_ref(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body.as_ref());
    bytes
}
