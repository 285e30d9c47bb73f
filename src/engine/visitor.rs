//! A device's way through its visits: pages, think times, returns.

use super::request::{Browser, page_request};
use super::site::Site;
use crate::clock::{self, Instant};
use crate::traffic::{Arrivals, DeviceKey, PagePlan, VisitPlan, Way};
use futures_util::future::join_all;
use std::rc::Rc;
use std::time::Duration;

/// Lets every contact arrive at its intended instant, `started` being the schedule's zero.
pub async fn arrive(site: Rc<Site>, arrivals: Arrivals, started: Instant) {
    for (number, at) in arrivals.enumerate() {
        let arrival = started + at.since(Instant::START);
        clock::sleep_until(arrival).await;
        if clock::now() >= site.until.get() && arrival >= site.until.get() {
            return;
        }
        let contact = site.traffic.contact(number as u64);
        for device in 0..contact.devices {
            let key = DeviceKey {
                contact: contact.number,
                device,
            };
            let (stagger, drawn) = site.traffic.device(key);
            let browser = Browser::new(contact, device, site.choose_cluster(drawn));
            clock::spawn_detached(visit(Rc::clone(&site), browser, arrival + stagger));
        }
    }
}

/// Plays the visits of one device. Between pages it holds little more than its cookies.
#[allow(
    clippy::manual_async_fn,
    reason = "an async function keeps its arguments twice, and there are very many visitors"
)]
fn visit(site: Rc<Site>, browser: Browser, mut intended: Instant) -> impl Future<Output = ()> {
    async move {
        for number in 0.. {
            let plan = site.traffic.visit(browser.key(), browser.robot(), number);
            for page in 0..plan.pages {
                clock::sleep_until(intended).await;
                if clock::now() >= site.until.get() {
                    if intended < site.until.get() {
                        // The generator was late, and the run is over.
                        site.recorder.request_intended();
                        site.recorder.request_not_sent();
                    }
                    return;
                }
                // Boxed, so that a visitor who thinks takes little memory.
                let viewing = Box::pin(view_page(&site, &browser, number, page, plan, intended));
                let think_time = viewing.await;
                // Only now: the visitor thinks after the page, not beside it.
                intended = clock::now() + think_time;
            }
            let Some(pause) = site.traffic.comes_back(browser.key().contact, number) else {
                return;
            };
            intended = clock::now() + pause;
        }
    }
}

/// Plays a page: its document, then whatever it fires at once. Returns the think time after it.
#[allow(
    clippy::manual_async_fn,
    reason = "an async function keeps its arguments twice"
)]
fn view_page(
    site: &Site,
    browser: &Browser,
    visit: u32,
    page: u32,
    plan: VisitPlan,
    intended: Instant,
) -> impl Future<Output = Duration> {
    async move {
        let key = browser.key();
        let draw = |request| site.traffic.request(key, visit, page, request);
        let PagePlan { ajax, think_time } = site.traffic.page(key, browser.robot(), visit, page);
        let logs_out = plan.abandon && page + 1 == plan.pages;
        let mut document = draw(0);
        if logs_out {
            document.way = Way::Abandon;
        }
        page_request(site, browser, &document, intended).await;
        if ajax > 0 && !logs_out {
            let loaded = clock::now();
            join_all((1..=ajax).map(|request| {
                let plan = draw(request);
                async move { page_request(site, browser, &plan, loaded).await }
            }))
            .await;
        }
        think_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::tests::site;

    #[test]
    fn a_visitor_who_thinks_is_small() {
        let site = Rc::new(site(&Rc::default(), &Rc::default()));
        let browser = Browser::new(site.traffic.contact(0), 0, 0);
        let visiting = visit(site, browser, Instant::START);
        // A simulated site of 100,000 contacts has as many, and `clock/tasks.rs` fetches so much of each.
        assert!(size_of_val(&visiting) <= 112, "{}", size_of_val(&visiting));
    }
}
