//! What was made in a database for us, where several providers of one process use it.
//!
//! In: what each of them found. Out: to the last that leaves, what to take away again. The surprising
//! fact: who found the collection there may outlive who made it, so none of them knows alone whether
//! it is ours.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// What we made in a database, and take away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The collection, and with it the database if it was the first.
    Collection,
    /// The index in a collection that was there.
    Index,
    /// Neither.
    Nothing,
}

/// The address of a server and the name of a database.
type Place = (String, String);

thread_local! {
    /// What the first user made in each database, and how many use it now.
    static USED: RefCell<BTreeMap<Place, (Made, usize)>> = RefCell::default();
}

/// The use of a database by one provider, until it is dropped.
pub struct Use(Option<Place>);

impl Use {
    /// Begins to use a database. What this user makes there counts if it is the first.
    #[must_use]
    pub fn begin(address: &str, database: &str, made: Made) -> Self {
        let place = (address.to_owned(), database.to_owned());
        USED.with_borrow_mut(|used| {
            used.entry(place.clone()).or_insert((made, 0)).1 += 1;
        });
        Self(Some(place))
    }

    /// Ends it: what is to be taken away, now that nobody else needs it.
    #[must_use]
    pub fn end(mut self) -> Made {
        self.leave()
    }

    fn leave(&mut self) -> Made {
        let Some(place) = self.0.take() else {
            return Made::Nothing;
        };
        USED.with_borrow_mut(|used| match used.get_mut(&place) {
            Some((_, users @ 2..)) => {
                *users -= 1;
                Made::Nothing
            }
            _ => used.remove(&place).map_or(Made::Nothing, |(made, _)| made),
        })
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(made: Made) -> Use {
        Use::begin("db.example", "sessions", made)
    }

    #[test]
    fn the_last_to_leave_takes_away_what_the_first_made() {
        let (maker, other) = (begin(Made::Collection), begin(Made::Nothing));
        assert_eq!(maker.end(), Made::Nothing);
        assert_eq!(other.end(), Made::Collection);
    }

    #[test]
    fn who_left_without_a_word_is_not_waited_for() {
        let (maker, other) = (begin(Made::Index), begin(Made::Nothing));
        drop(other);
        assert_eq!(maker.end(), Made::Index);
    }

    #[test]
    fn what_was_there_when_the_first_came_is_not_taken_away() {
        let (first, other) = (begin(Made::Nothing), begin(Made::Nothing));
        assert_eq!(first.end(), Made::Nothing);
        assert_eq!(other.end(), Made::Nothing);
    }

    #[test]
    fn databases_of_one_name_on_two_servers_are_two() {
        let here = begin(Made::Collection);
        let there = Use::begin("other.example", "sessions", Made::Index);
        assert_eq!(here.end(), Made::Collection);
        assert_eq!(there.end(), Made::Index);
    }
}
