//! Load balancers.

use super::settings::Balancer;
use std::cell::Cell;

/// A load balancer in front of one cluster.
#[derive(Debug)]
pub struct LoadBalancer {
    rule: Balancer,
    servers: u32,
    next: Cell<u32>,
}

/// What a balancer knows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The server in the device's affinity cookie, if it has one.
    pub affinity: Option<u32>,
    /// A drawn number.
    pub drawn: u64,
}

impl LoadBalancer {
    /// A balancer over so many servers.
    #[must_use]
    pub const fn new(rule: Balancer, servers: u32) -> Self {
        Self {
            rule,
            servers,
            next: Cell::new(0),
        }
    }

    /// Picks the server of a request. `in_progress` tells how many requests a server works on.
    pub fn pick(&self, route: Route, in_progress: impl Fn(u32) -> u32) -> u32 {
        match self.rule {
            Balancer::Sticky => match route.affinity {
                Some(server) if server < self.servers => server,
                _ => self.next_in_turn(),
            },
            Balancer::RoundRobin => self.next_in_turn(),
            Balancer::Random => (route.drawn % u64::from(self.servers)) as u32,
            Balancer::LeastConnections => {
                // Ties go to the next in turn, or an idle cluster would use its first server only.
                let first = self.next_in_turn();
                let turn = (0..self.servers).map(|step| (first + step) % self.servers);
                turn.min_by_key(|server| in_progress(*server))
                    .unwrap_or(first)
            }
        }
    }

    fn next_in_turn(&self) -> u32 {
        let server = self.next.get();
        self.next.set((server + 1) % self.servers);
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(rule: Balancer, affinity: Option<u32>) -> Vec<u32> {
        let balancer = LoadBalancer::new(rule, 3);
        (0..6)
            .map(|drawn| balancer.pick(Route { affinity, drawn }, |_| 0))
            .collect()
    }

    #[test]
    fn round_robin_takes_the_servers_in_turn() {
        assert_eq!(picks(Balancer::RoundRobin, Some(1)), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_sticky_balancer_keeps_a_device_on_its_server() {
        assert_eq!(picks(Balancer::Sticky, Some(1)), [1; 6]);
    }

    #[test]
    fn a_sticky_balancer_spreads_new_devices_in_turn() {
        assert_eq!(picks(Balancer::Sticky, None), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_random_balancer_follows_the_draw() {
        assert_eq!(picks(Balancer::Random, Some(1)), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn least_connections_takes_the_server_with_the_fewest() {
        let balancer = LoadBalancer::new(Balancer::LeastConnections, 3);
        let route = Route {
            affinity: None,
            drawn: 0,
        };
        assert_eq!(balancer.pick(route, |server| [5, 2, 7][server as usize]), 1);
    }

    #[test]
    fn least_connections_takes_idle_servers_in_turn() {
        assert_eq!(picks(Balancer::LeastConnections, None), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_sticky_balancer_ignores_the_cookie_of_a_server_that_is_no_more() {
        assert_eq!(picks(Balancer::Sticky, Some(9)), [0, 1, 2, 0, 1, 2]);
    }
}
