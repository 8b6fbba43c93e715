//! When a login is due. No clock, no I/O, no randomness.

use std::time::Duration;

use super::error::LoginError;
use crate::http::Token;

/// A token is renewed so long before its end, since clocks differ and requests take their time.
const MARGIN: Duration = Duration::from_secs(60);
/// However short a token's life is, no login follows another one faster than this.
const SHORTEST: Duration = Duration::from_secs(1);
/// A token that is refused within this time after its login was never good.
const YOUNG: Duration = Duration::from_secs(30);
/// The first and the longest pause after a failure; it doubles in between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

#[derive(Debug)]
struct Held {
    token: Token,
    since: Duration,
    renew_at: Option<Duration>,
    ends_at: Option<Duration>,
    refused: bool,
}

/// What is to be done for somebody who wants a token.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Take this one.
    Use(Token),
    /// Log in.
    Login,
    /// There is none, and it is too early to try again.
    Fail(LoginError),
}

/// The token that is held, and the logins that failed. Times are monotonic, since any fixed beginning.
#[derive(Debug, Default)]
pub(super) struct Session {
    held: Option<Held>,
    /// Logins in a row that failed.
    failures: u32,
    /// Tokens in a row that were refused although young, and never let anybody in.
    refusals: u32,
    not_before: Duration,
    last: Option<LoginError>,
}

impl Session {
    /// What to do now.
    pub(super) fn want(&self, now: Duration) -> Step {
        let due = |held: &Held| held.refused || held.renew_at.is_some_and(|at| at <= now);
        match &self.held {
            Some(held) if !due(held) => Step::Use(held.token.clone()),
            _ if self.not_before <= now => Step::Login,
            // A refused one is good enough to be told again why.
            Some(held) if !held.has_ended(now) => Step::Use(held.token.clone()),
            _ => {
                let wait = self.not_before.saturating_sub(now);
                let last = Box::new(self.last.clone().unwrap_or(LoginError::Unwanted));
                Step::Fail(LoginError::Paused { last, wait })
            }
        }
    }

    /// A login that was begun at `begun` gave this token, good for `lifetime` (`None` if it does not tell).
    pub(super) fn logged_in(&mut self, token: Token, begun: Duration, lifetime: Option<Duration>) {
        let until_renewal = lifetime.map(|lifetime| {
            let margin = if lifetime >= MARGIN * 2 { MARGIN } else { lifetime / 2 };
            (lifetime - margin).max(SHORTEST)
        });
        self.held = Some(Held {
            token,
            since: begun,
            renew_at: until_renewal.map(|time| begun.saturating_add(time)),
            ends_at: lifetime.map(|lifetime| begun.saturating_add(lifetime)),
            refused: false,
        });
        self.failures = 0;
        self.last = None;
    }

    /// A login failed. Gives the token that is still good, if there is one.
    pub(super) fn failed(&mut self, error: LoginError, now: Duration, dice: f64) -> Option<Token> {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause(self.failures, dice));
        self.last = Some(error);
        let held = self.held.as_ref().filter(|held| !held.refused && !held.has_ended(now));
        held.map(|held| held.token.clone())
    }

    /// Somebody was let in with this token: a refusal from now on is no sign of a place that takes none.
    pub(super) fn accepted(&mut self, token: &Token) {
        if self.held.as_ref().is_some_and(|held| held.token == *token) {
            self.refusals = 0;
        }
    }

    /// Somebody was answered 401 with this token. Only the first word about a token counts.
    pub(super) fn refused(&mut self, token: &Token, now: Duration, dice: f64) {
        let Some(held) = self.held.as_mut().filter(|held| held.token == *token && !held.refused) else {
            return;
        };
        held.refused = true;
        let young = now.saturating_sub(held.since) < YOUNG;
        self.refusals = if young { self.refusals.saturating_add(1) } else { 0 };
        // The first may have been bad luck; a place that takes no token at all must not make us log in for ever.
        if self.refusals > 1 {
            self.not_before = now.saturating_add(pause(self.refusals - 1, dice));
        }
    }
}

impl Held {
    fn has_ended(&self, now: Duration) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
    }
}

/// From half of the doubled pause to all of it.
fn pause(failures: u32, dice: f64) -> Duration {
    let doubled = PAUSE.0.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE.1);
    doubled.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    fn uses(text: &str) -> Step {
        Step::Use(token(text))
    }

    #[test]
    fn a_token_is_renewed_a_minute_before_its_end() {
        let mut session = Session::default();
        assert_eq!(session.want(S(0)), Step::Login);
        session.logged_in(token("a"), S(0), Some(S(3600)));
        assert_eq!(session.want(S(3539)), uses("a"));
        assert_eq!(session.want(S(3540)), Step::Login);
        // While the login endpoint is away, it goes on being used until its end.
        assert_eq!(session.failed(LoginError::Sign, S(3540), 1.0), Some(token("a")));
        assert_eq!(session.want(S(3540)), uses("a"));
        assert_eq!(session.want(S(3541)), Step::Login);
        assert_eq!(session.failed(LoginError::Sign, S(3599), 1.0), Some(token("a")));
        let last = Box::new(LoginError::Sign);
        assert_eq!(session.want(S(3600)), Step::Fail(LoginError::Paused { last, wait: S(1) }));
        assert_eq!(session.failed(LoginError::Sign, S(3601), 1.0), None, "that is its end");
    }

    #[test]
    fn a_short_life_is_halved_and_an_open_one_lasts() {
        let mut session = Session::default();
        session.logged_in(token("a"), S(0), Some(S(10)));
        assert_eq!((session.want(S(4)), session.want(S(5))), (uses("a"), Step::Login));
        session.logged_in(token("b"), S(5), Some(S(0)));
        assert_eq!((session.want(S(5)), session.want(S(6))), (uses("b"), Step::Login));
        session.logged_in(token("c"), S(6), None);
        assert_eq!(session.want(Duration::MAX), uses("c"));
    }

    #[test]
    fn a_refused_token_is_replaced_at_once_and_a_stubborn_place_gets_pauses() {
        let mut session = Session::default();
        session.logged_in(token("a"), S(0), None);
        session.refused(&token("other"), S(100), 1.0);
        assert_eq!(session.want(S(100)), uses("a"), "somebody was slow to hear of an older one");
        session.refused(&token("a"), S(100), 1.0);
        assert_eq!(session.want(S(100)), Step::Login);
        session.logged_in(token("b"), S(100), None);
        session.refused(&token("b"), S(100), 1.0);
        assert_eq!(session.want(S(100)), Step::Login, "once more at once");
        session.logged_in(token("c"), S(100), None);
        session.refused(&token("c"), S(100), 1.0);
        session.refused(&token("c"), S(100), 1.0);
        assert_eq!((session.want(S(100)), session.want(S(101))), (uses("c"), Step::Login));
        session.logged_in(token("d"), S(101), None);
        session.refused(&token("d"), S(101), 1.0);
        assert_eq!((session.want(S(102)), session.want(S(103))), (uses("d"), Step::Login));
        session.logged_in(token("e"), S(103), None);
        session.accepted(&token("e"));
        session.refused(&token("e"), S(104), 1.0);
        assert_eq!(session.want(S(104)), Step::Login, "it was good for a while");
    }

    proptest! {
        /// However a place refuses, logins are rare, and a pause never exceeds its limit.
        #[test]
        fn logins_are_never_many(script in prop::collection::vec((0u64..2000, 0u8..4, 0.0..1.0f64), 1..300)) {
            let (mut session, mut now, mut logins) = (Session::default(), Duration::ZERO, 0u32);
            for (millis, what, dice) in script {
                now += Duration::from_millis(millis);
                match session.want(now) {
                    Step::Login => {
                        logins += 1;
                        match what {
                            0 => session.logged_in(token(&logins.to_string()), now, Some(S(millis))),
                            1 => session.logged_in(token(&logins.to_string()), now, None),
                            _ => _ = session.failed(LoginError::Sign, now, dice),
                        }
                    }
                    Step::Use(token) if what > 1 => session.refused(&token, now, dice),
                    Step::Use(_) => {}
                    Step::Fail(error) => {
                        let paused = matches!(error, LoginError::Paused { wait, .. } if wait <= PAUSE.1);
                        prop_assert!(paused);
                    }
                }
            }
            // Refused tokens may be replaced twice without a pause; all else waits half a second at least.
            let seconds = u32::try_from(now.as_secs()).unwrap();
            prop_assert!(logins <= 4 * (seconds + 1) + 4, "{logins} in {seconds} s");
        }
    }
}
