//! What a contact, a visit, a page and a request will do, drawn when it is needed.

use super::draw::{Draw, generator, number};
use super::settings::{Contacts, Data, Visits};
use crate::quantity::{Share, SiteTime};
use crate::session::{Minutes, SessionId, StoreKind};
use rand::{Rng, RngExt};
use std::time::Duration;

/// Everything that decides the traffic of a run.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The scenario's seed.
    pub seed: u64,
    /// How much shorter than the site's time the run is.
    pub time: SiteTime,
    /// Who visits.
    pub contacts: Contacts,
    /// What a visit does.
    pub visits: Visits,
    /// How large session data is.
    pub data: Data,
    /// Timeout of a private session.
    pub timeout: Minutes,
}

/// A contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactPlan {
    /// Its number in the run, in the order of arrival.
    pub number: u64,
    /// Whether Sitecore takes it for a robot.
    pub robot: bool,
    /// Whether the site knows that its devices belong together.
    pub identified: bool,
    /// Devices it uses at once.
    pub devices: u32,
}

/// One device of one contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceKey {
    /// The contact's number.
    pub contact: u64,
    /// Index of the device.
    pub device: u32,
}

/// Most devices a contact can have; keeps owners of shared sessions apart.
pub const MAX_DEVICES: u32 = 64;

/// A visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitPlan {
    /// Number of pages; at least one.
    pub pages: u32,
    /// Whether its last page logs out.
    pub abandon: bool,
}

/// A page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePlan {
    /// Requests that it fires at once after its document.
    pub ajax: u32,
    /// Real time from its end to the next page.
    pub think_time: Duration,
}

/// A page request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestPlan {
    /// What it does with the session.
    pub way: Way,
    /// How long it works while it holds its session.
    pub work: Duration,
    /// Bytes that it adds to the private session when it changes it.
    pub growth: u32,
    /// A number for a balancer that draws by chance.
    pub route: u64,
}

/// Which way a request takes through the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// Changes the session.
    Update,
    /// Takes the lock but changes nothing.
    Clean,
    /// Reads without a lock.
    ReadOnly,
    /// Needs no session; only keeps it alive.
    Sessionless,
    /// Ends in an error: its changes are discarded.
    Failing,
    /// Logs out.
    Abandon,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 6] = [
        Self::Update,
        Self::Clean,
        Self::ReadOnly,
        Self::Sessionless,
        Self::Failing,
        Self::Abandon,
    ];

    /// The way's name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Clean => "clean",
            Self::ReadOnly => "read_only",
            Self::Sessionless => "sessionless",
            Self::Failing => "failing",
            Self::Abandon => "abandon",
        }
    }
}

/// The shared session's id of an owner.
#[must_use]
pub fn shared_id(seed: u64, owner: u64) -> SessionId {
    SessionId::shared(wide_number(seed, Draw::ContactId, &[owner]))
}

fn wide_number(seed: u64, draw: Draw, keys: &[u64]) -> u128 {
    let high = number(seed, draw, keys);
    u128::from(high) << 64 | u128::from(crate::quantity::mix(high ^ seed))
}

fn happens(share: Share, random: &mut impl Rng) -> bool {
    random.random::<f64>() < share.fraction()
}

impl Traffic {
    /// Draws a contact.
    #[must_use]
    pub fn contact(&self, contact: u64) -> ContactPlan {
        let mut random = generator(self.seed, Draw::Contact, &[contact]);
        let robots = self.contacts.robots.as_ref();
        let robot = robots.is_some_and(|robots| happens(robots.share, &mut random));
        let identified = happens(self.contacts.identified, &mut random) && !robot;
        let devices = match robot {
            true => 1,
            false => self
                .contacts
                .devices
                .sample(&mut random)
                .clamp(1, MAX_DEVICES),
        };
        ContactPlan {
            number: contact,
            robot,
            identified,
            devices,
        }
    }

    /// Real time from the first page of a contact's first device to the first of each device, and
    /// a number from 0 to 1 that chooses the device's cluster.
    #[must_use]
    pub fn device(&self, key: DeviceKey) -> (Duration, f64) {
        let mut stagger = Duration::ZERO;
        for device in 1..=key.device {
            let mut random = generator(self.seed, Draw::Device, &[key.contact, u64::from(device)]);
            stagger += self.contacts.stagger.sample(&mut random).duration();
        }
        let chooser = match self.contacts.cluster_choice {
            super::settings::ClusterChoice::Contact => 0,
            super::settings::ClusterChoice::Device => u64::from(key.device) + 1,
        };
        let mut random = generator(self.seed, Draw::Device, &[key.contact, chooser << 32]);
        (self.time.real(stagger.into()), random.random())
    }

    /// Draws a device's visit.
    #[must_use]
    pub fn visit(&self, key: DeviceKey, robot: bool, visit: u32) -> VisitPlan {
        let mut random = generator(self.seed, Draw::Visit, &key.keys([visit, 0, 0]));
        let pages = match &self.contacts.robots {
            Some(robots) if robot => &robots.pages,
            _ => &self.visits.pages,
        };
        VisitPlan {
            pages: pages.sample(&mut random).max(1),
            abandon: happens(self.visits.abandon, &mut random),
        }
    }

    /// Draws a page of a visit.
    #[must_use]
    pub fn page(&self, key: DeviceKey, robot: bool, visit: u32, page: u32) -> PagePlan {
        let mut random = generator(self.seed, Draw::Page, &key.keys([visit, page, 0]));
        let think_time = match &self.contacts.robots {
            Some(robots) if robot => &robots.think_time,
            _ => &self.visits.think_time,
        };
        PagePlan {
            think_time: self.time.real(think_time.sample(&mut random)),
            ajax: self.visits.ajax.sample(&mut random),
        }
    }

    /// Draws a request of a page; request 0 is its document.
    #[must_use]
    pub fn request(&self, key: DeviceKey, visit: u32, page: u32, request: u32) -> RequestPlan {
        let mut random = generator(
            self.seed,
            Draw::Request,
            &key.keys([visit, page, request + 1]),
        );
        let mix = &self.visits.requests;
        let ways = [
            (mix.read_only, Way::ReadOnly),
            (mix.clean, Way::Clean),
            (mix.sessionless, Way::Sessionless),
            (mix.failing, Way::Failing),
        ];
        let mut drawn: f64 = random.random();
        let way = ways.into_iter().find(|(share, _)| {
            drawn -= share.fraction();
            drawn < 0.0
        });
        let data = &self.data.private;
        let mut growth = data.per_page.bytes();
        for extra in [&data.goals, &data.campaigns] {
            if happens(extra.share, &mut random) {
                growth += extra.bytes.bytes();
            }
        }
        RequestPlan {
            way: way.map_or(Way::Update, |(_, way)| way),
            work: self.visits.work.sample(&mut random).duration(),
            growth: growth as u32,
            route: random.random(),
        }
    }

    /// Real time after which a contact comes back from a visit, if it does. A closed population
    /// always does.
    #[must_use]
    pub fn comes_back(&self, contact: u64, visit: u32) -> Option<Duration> {
        let mut random = generator(self.seed, Draw::Return, &[contact, u64::from(visit)]);
        let after = match (&self.contacts.population, &self.contacts.returning) {
            (Some(population), _) => &population.pause,
            (None, Some(returning)) if happens(returning.share, &mut random) => &returning.after,
            _ => return None,
        };
        Some(self.time.real(after.sample(&mut random)))
    }

    /// Whose shared session a device uses: its contact's, or its own when the site does not know
    /// the contact.
    #[must_use]
    pub fn owner(&self, contact: &ContactPlan, device: u32) -> u64 {
        let own = if contact.identified { 0 } else { device };
        contact.number * u64::from(MAX_DEVICES) + u64::from(own)
    }

    /// A new private session id: the device's `attempt`-th.
    #[must_use]
    pub fn private_id(&self, key: DeviceKey, attempt: u32) -> SessionId {
        let keys = key.keys([attempt, 0, 0]);
        SessionId::private(wide_number(self.seed, Draw::SessionId, &keys))
    }

    /// Session timeout of a contact's private sessions, and of its shared session.
    #[must_use]
    pub fn timeout(&self, robot: bool, kind: StoreKind) -> Minutes {
        let private = match &self.contacts.robots {
            Some(robots) if robot => (robots.timeout.duration().as_secs() / 60) as u32,
            _ => self.timeout.0,
        };
        match kind {
            StoreKind::Private => Minutes(private),
            // Facts §9.5: private plus one minute.
            StoreKind::Shared => Minutes(private + 1),
        }
    }
}

impl DeviceKey {
    fn keys(self, [a, b, c]: [u32; 3]) -> [u64; 4] {
        let device = self.contact * u64::from(MAX_DEVICES) + u64::from(self.device);
        [device, a.into(), b.into(), c.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{Distribution, Span};
    use crate::traffic::settings::Robots;

    fn traffic() -> Traffic {
        Traffic {
            seed: 7,
            time: SiteTime::new(1.0),
            contacts: serde_yaml::from_str("devices: { uniform: { min: 1, max: 3 } }").unwrap(),
            visits: Visits::default(),
            data: Data::default(),
            timeout: Minutes(20),
        }
    }

    const KEY: DeviceKey = DeviceKey {
        contact: 5,
        device: 1,
    };

    #[test]
    fn the_same_seed_draws_the_same_request() {
        assert_eq!(
            traffic().request(KEY, 0, 2, 1),
            traffic().request(KEY, 0, 2, 1)
        );
    }

    #[test]
    fn another_think_time_does_not_shift_other_draws() {
        let mut changed = traffic();
        changed.visits.think_time = Distribution::Always(Span::from_secs(1));
        assert_eq!(
            traffic().request(KEY, 0, 2, 1),
            changed.request(KEY, 0, 2, 1)
        );
        assert_eq!(traffic().visit(KEY, false, 0), changed.visit(KEY, false, 0));
    }

    #[test]
    fn an_identified_contact_has_one_shared_session() {
        let contact = ContactPlan {
            number: 3,
            robot: false,
            identified: true,
            devices: 2,
        };
        assert_eq!(traffic().owner(&contact, 0), traffic().owner(&contact, 1));
    }

    #[test]
    fn an_anonymous_contact_has_a_shared_session_for_each_device() {
        let contact = ContactPlan {
            number: 3,
            robot: false,
            identified: false,
            devices: 2,
        };
        assert_ne!(traffic().owner(&contact, 0), traffic().owner(&contact, 1));
    }

    #[test]
    fn a_request_mix_is_drawn_by_its_shares() {
        let mut traffic = traffic();
        traffic.visits.requests.read_only = "30%".parse().unwrap();
        traffic.visits.requests.clean = "20%".parse().unwrap();
        let count = |way| {
            (0..10_000)
                .filter(|page| traffic.request(KEY, 0, *page, 0).way == way)
                .count()
        };
        assert!((2_850..3_150).contains(&count(Way::ReadOnly)));
        assert!((1_850..2_150).contains(&count(Way::Clean)));
        assert!((4_850..5_150).contains(&count(Way::Update)));
    }

    #[test]
    fn a_robot_has_one_device_is_anonymous_and_times_out_after_its_own_timeout() {
        let mut traffic = traffic();
        traffic.contacts.robots = Some(Robots {
            share: Share::ALL,
            timeout: Span::from_secs(60),
            pages: Distribution::Always(3),
            think_time: Distribution::Always(Span::from_secs(2)),
        });
        let contact = traffic.contact(1);
        assert_eq!((contact.devices, contact.identified), (1, false));
        assert_eq!(traffic.timeout(true, StoreKind::Private), Minutes(1));
    }

    #[test]
    fn a_shared_session_lasts_one_minute_longer() {
        assert_eq!(traffic().timeout(false, StoreKind::Shared), Minutes(21));
    }

    #[test]
    fn devices_start_one_after_the_other() {
        let mut traffic = traffic();
        traffic.contacts.stagger = Distribution::Always(Span::from_secs(30));
        let start = |device| traffic.device(DeviceKey { contact: 1, device }).0;
        assert_eq!(
            [start(0), start(1), start(2)],
            [0, 30, 60].map(Duration::from_secs)
        );
    }

    #[test]
    fn a_contact_keeps_its_cluster_on_every_device() {
        let cluster = |device| traffic().device(DeviceKey { contact: 1, device }).1;
        assert_eq!(cluster(0), cluster(1));
    }
}
