//! Values, against Redis.

use anyhow::{Result, bail};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::lines::Lines;
use crate::load::{Exchange, Load};
use crate::references::redis::Redis;
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::Unit;

/// Requests under way at once, where they are many.
const PIPELINED: usize = 100;

/// How many more requests there are where they are not sent one at a time.
const MORE: usize = 10;

/// One value is set, and got, by the same client code in either's protocol.
pub(crate) struct Values {
    /// Requests that are sent one at a time.
    pub(crate) requests: usize,
    /// Connections, where they are many.
    pub(crate) connections: usize,
}

impl Case for Values {
    fn name(&self) -> &'static str {
        "values"
    }

    fn lines(&self) -> Vec<Line> {
        let line = |what: &str, load: &Load| {
            let connections = match load.connections {
                1 => "1 connection".to_owned(),
                many => format!("{many} connections"),
            };
            let way = match load.in_flight {
                1 => "one at a time".to_owned(),
                many => format!("{many} in flight"),
            };
            Line::new(format!("{what}, {connections}, {way}"), Unit::PerSecond)
                .against(Subject::Redis, Bound::AtLeast(1.0))
        };
        let pairs = self.loads().into_iter();
        pairs.flat_map(|load| [line("get", &load), line("set", &load)]).collect()
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        match subject {
            Subject::Papad => {
                let papad = setting.papad()?;
                let connect = || Ok(Lines::exact(papad.port())?.into_stream());
                let get = Exchange { request: "get key\n", reply: "ok 1\nvalue\n" };
                let set = Exchange { request: "set key value\n", reply: "ok 0\n" };
                self.run(connect, &get, &set)
            }
            Subject::Redis => {
                let redis = Redis::start()?;
                let connect = || Ok(Lines::connect(redis.port())?.into_stream());
                let get = Exchange {
                    request: "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n",
                    reply: "$5\r\nvalue\r\n",
                };
                let set = Exchange {
                    request: "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
                    reply: "+OK\r\n",
                };
                self.run(connect, &get, &set)
            }
            _ => bail!("{subject} has no part in this"),
        }
    }
}

impl Values {
    fn loads(&self) -> [Load; 4] {
        let (one, more) = (self.requests, self.requests * MORE);
        [
            Load { connections: 1, in_flight: 1, requests: one },
            Load { connections: 1, in_flight: PIPELINED, requests: more },
            Load { connections: self.connections, in_flight: 1, requests: one },
            Load { connections: self.connections, in_flight: PIPELINED, requests: more },
        ]
    }

    fn run(
        &self,
        connect: impl Fn() -> Result<std::net::TcpStream>,
        get: &Exchange,
        set: &Exchange,
    ) -> Result<Vec<Option<Figure>>> {
        let mut rates = Vec::new();
        for load in self.loads() {
            // Set first, so that there is something to get.
            let set = load.run(&connect, set)?;
            rates.extend([load.run(&connect, get)?, set]);
        }
        Ok(all(rates))
    }
}
