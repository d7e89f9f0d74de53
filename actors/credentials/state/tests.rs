//! The machine by itself: what is done about what, in virtual time.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const TIMING: Timing = Timing {
    login_interval_min: SECOND,
    retry_min: Duration::from_millis(250),
    retry_max: Duration::from_secs(30),
};

fn at(ms: u64) -> BootTime {
    BootTime::from_nanos((1_000_000 + ms) * 1_000_000)
}

fn grant(ttl: u64) -> Grant {
    let ttl = (ttl > 0).then(|| Duration::from_secs(ttl));
    Grant { ttl, renewable: true, can_look_up: Some(true), warning: None }
}

fn machine() -> Identity {
    Identity::new(TIMING, Noise::seeded(1))
}

/// A machine that logged in at 0 with the token of epoch 1, which is good for `ttl` seconds.
fn logged_in(ttl: u64) -> Identity {
    let mut machine = machine();
    assert_eq!(
        machine.apply(at(0), Command::Enroll(1)),
        [Effect::Login { ticket: 1, probe: true }]
    );
    assert_eq!(
        machine.apply(at(0), granted(1, 1, ttl)),
        [Effect::Install(1), Effect::Answer(1, Answer::Enrolled)]
    );
    machine
}

fn granted(ticket: Ticket, epoch: Epoch, ttl: u64) -> Command {
    Command::LoggedIn { ticket, result: Ok((epoch, grant(ttl))) }
}

fn refused(ticket: Ticket) -> Command {
    let why = CredentialError::LoginRefused("test");
    Command::LoggedIn { ticket, result: Err(why.into()) }
}

fn rejected(asker: Asker, epoch: Epoch, mark: u64) -> Command {
    Command::Rejected { asker, epoch, mark }
}

fn alive(ticket: Ticket) -> Command {
    Command::LookedUp { ticket, found: Found::Alive(grant(60)) }
}

fn dead(ticket: Ticket) -> Command {
    Command::LookedUp { ticket, found: Found::Rejected }
}

#[test]
fn a_lease_is_renewed_by_two_thirds_of_it_and_never_before_a_half() {
    for seed in 0..100 {
        let mut machine = Identity::new(TIMING, Noise::seeded(seed));
        machine.apply(at(0), Command::Enroll(1));
        machine.apply(at(0), granted(1, 1, 60));
        let due = machine.due().unwrap();
        assert!(due <= at(40_000) && due >= at(30_000), "{due:?}");
        assert_eq!(machine.apply(due, Command::Due), [Effect::Renew(2)]);
    }
}

#[test]
fn a_token_without_an_end_is_left_alone() {
    let mut machine = logged_in(0);
    assert_eq!(machine.due(), None);
    assert_eq!(machine.apply(at(1_000_000_000), Command::Due), []);
}

#[test]
fn when_renewals_end_there_is_a_login_while_the_token_still_works() {
    let mut machine = logged_in(60);
    let mut now = machine.due().unwrap();
    machine.apply(now, Command::Due);
    machine.apply(now, Command::Renewed { ticket: 2, result: Ok(grant(60)) });
    now = machine.due().unwrap();
    machine.apply(now, Command::Due);
    // The role's longest life is near: 20 seconds of 60 are left.
    machine.apply(now, Command::Renewed { ticket: 3, result: Ok(grant(20)) });
    let due = machine.due().unwrap();
    assert!(due < now.plus(20 * SECOND));
    assert_eq!(machine.apply(due, Command::Due), [Effect::Login { ticket: 4, probe: false }]);
    let effects = machine.apply(due, granted(4, 2, 60));
    assert_eq!(effects, [Effect::Install(4), Effect::Retire { revoke: false }]);
}

#[test]
fn a_token_that_cannot_be_renewed_is_replaced_in_time() {
    let mut machine = machine();
    machine.apply(at(0), Command::Enroll(1));
    let batch = Grant { renewable: false, ..grant(5) };
    machine.apply(at(0), Command::LoggedIn { ticket: 1, result: Ok((1, batch)) });
    let due = machine.due().unwrap();
    assert!(due < at(5000));
    assert_eq!(machine.apply(due, Command::Due), [Effect::Login { ticket: 2, probe: false }]);
}

#[test]
fn a_burst_of_rejected_tokens_causes_one_lookup_and_one_login() {
    let mut machine = logged_in(60);
    assert_eq!(machine.apply(at(5000), rejected(10, 1, 1)), [Effect::LookUp(2)]);
    for asker in 11..1000 {
        assert_eq!(machine.apply(at(5001), rejected(asker, 1, asker)), []);
    }
    assert_eq!(machine.apply(at(5002), dead(2)), [Effect::Login { ticket: 3, probe: false }]);
    for asker in 1000..1100 {
        assert_eq!(machine.apply(at(5003), rejected(asker, 1, 1)), []);
    }
    let effects = machine.apply(at(5010), granted(3, 2, 60));
    let repeats: HashSet<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Answer(asker, Answer::Repeat) => Some(*asker),
            _ => None,
        })
        .collect();
    assert_eq!(repeats, (10..1100).collect());
    // Those whose answer took longer find it replaced.
    let late = machine.apply(at(5011), rejected(2000, 1, 1));
    assert_eq!(late, [Effect::Answer(2000, Answer::Repeat)]);
    assert_eq!(machine.standing().counts.logins, 2);
}

#[test]
fn what_a_policy_forbids_causes_no_login_and_is_remembered_for_a_while() {
    let mut machine = logged_in(600);
    assert_eq!(machine.apply(at(5000), rejected(10, 1, 7)), [Effect::LookUp(2)]);
    assert_eq!(machine.apply(at(5001), alive(2)), [Effect::Answer(10, Answer::Forbidden)]);
    for asker in 11..10_000 {
        let effects = machine.apply(at(5002), rejected(asker, 1, 7));
        assert_eq!(effects, [Effect::Answer(asker, Answer::Forbidden)]);
    }
    let later = at(5001).plus(VAULT_FORBIDDEN_MEMORY);
    assert_eq!(machine.apply(later, rejected(10_001, 1, 7)), [Effect::LookUp(3)]);
    assert_eq!(machine.standing().counts.logins, 1);
}

#[test]
fn a_rejection_that_arrives_during_a_lookup_is_judged_by_the_next_one() {
    let mut machine = logged_in(600);
    machine.apply(at(5000), rejected(10, 1, 1));
    // The token may be revoked between the lookup's answer at Vault and this rejection.
    assert_eq!(machine.apply(at(5001), rejected(11, 1, 2)), []);
    let effects = machine.apply(at(5002), alive(2));
    assert_eq!(effects, [Effect::Answer(10, Answer::Forbidden), Effect::LookUp(3)]);
    let effects = machine.apply(at(5003), dead(3));
    assert_eq!(effects, [Effect::Login { ticket: 4, probe: false }]);
    let effects = machine.apply(at(5004), granted(4, 2, 60));
    assert!(effects.contains(&Effect::Answer(11, Answer::Repeat)));
}

#[test]
fn a_remembered_path_does_not_hide_a_revoked_token_from_other_paths() {
    let mut machine = logged_in(600);
    machine.apply(at(5000), rejected(10, 1, 1));
    machine.apply(at(5001), alive(2));
    assert_eq!(machine.apply(at(5002), rejected(11, 1, 2)), [Effect::LookUp(3)]);
}

#[test]
fn the_memory_of_forbidden_paths_is_bounded_and_ends_with_the_token() {
    let mut machine = logged_in(600);
    let marks = VAULT_FORBIDDEN_MEMORY_MAX as u64 * 2;
    for mark in 0..marks {
        let now = at(5000);
        if let [Effect::LookUp(ticket)] = machine.apply(now, rejected(mark + 10, 1, mark))[..] {
            machine.apply(now, alive(ticket));
        }
    }
    assert_eq!(machine.forbidden.len(), VAULT_FORBIDDEN_MEMORY_MAX);
    machine.apply(at(5000), Command::Rotate { asker: 5, revoke: false });
    let ticket = machine.work.unwrap().ticket;
    machine.apply(at(5001), granted(ticket, 2, 600));
    assert!(machine.forbidden.is_empty());
}

#[test]
fn a_lookup_without_an_answer_tells_those_who_asked_and_logs_nobody_in() {
    let mut machine = logged_in(600);
    machine.apply(at(5000), rejected(10, 1, 1));
    machine.apply(at(5000), rejected(11, 1, 2));
    let found = Found::Unclear(VaultError::Timeout);
    let effects = machine.apply(at(5001), Command::LookedUp { ticket: 2, found });
    let failed = Answer::Failed(VaultError::Timeout);
    assert_eq!(effects, [Effect::Answer(10, failed.clone()), Effect::Answer(11, failed)]);
    assert_eq!(machine.standing().counts.logins, 1);
}

#[test]
fn a_token_that_must_not_look_itself_up_costs_one_login_and_then_counts_as_forbidden() {
    let mut machine = machine();
    machine.apply(at(0), Command::Enroll(1));
    let blind = Grant { can_look_up: Some(false), ..grant(600) };
    machine.apply(at(0), Command::LoggedIn { ticket: 1, result: Ok((1, blind)) });
    assert!(machine.standing().blind);
    let effects = machine.apply(at(60_000), rejected(10, 1, 1));
    assert_eq!(effects, [Effect::Login { ticket: 2, probe: false }]);
    let unknown = Grant { can_look_up: None, ..grant(600) };
    let result = Ok((2, unknown));
    let effects = machine.apply(at(60_001), Command::LoggedIn { ticket: 2, result });
    assert!(effects.contains(&Effect::Answer(10, Answer::Repeat)));
    let effects = machine.apply(at(60_002), rejected(11, 2, 1));
    assert_eq!(effects, [Effect::Answer(11, Answer::Forbidden)]);
}

#[test]
fn logins_that_nobody_ordered_keep_their_interval_and_ordered_ones_need_not() {
    let mut machine = logged_in(600);
    machine.apply(at(100), rejected(10, 1, 1));
    assert_eq!(machine.apply(at(101), dead(2)), []);
    assert_eq!(machine.due(), Some(at(1000)));
    assert_eq!(machine.apply(at(999), Command::Due), []);
    let effects = machine.apply(at(1000), Command::Due);
    assert_eq!(effects, [Effect::Login { ticket: 3, probe: false }]);
    machine.apply(at(1001), granted(3, 2, 600));
    let effects = machine.apply(at(1002), Command::Rotate { asker: 20, revoke: false });
    assert_eq!(effects, [Effect::Login { ticket: 4, probe: false }]);
}

#[test]
fn a_rotation_is_served_by_a_login_that_began_after_it() {
    let mut machine = logged_in(600);
    let rotate = |asker, revoke| Command::Rotate { asker, revoke };
    assert_eq!(
        machine.apply(at(10), rotate(10, true)),
        [Effect::Login { ticket: 2, probe: false }]
    );
    assert_eq!(machine.apply(at(11), rotate(11, false)), []);
    assert_eq!(machine.apply(at(12), rotate(12, false)), []);
    let rotated = Answer::Rotated { revoked: None };
    assert_eq!(
        machine.apply(at(20), granted(2, 2, 600)),
        [
            Effect::Install(2),
            Effect::Retire { revoke: true },
            Effect::Answer(10, rotated.clone()),
            Effect::Login { ticket: 3, probe: false },
        ]
    );
    assert_eq!(
        machine.apply(at(30), granted(3, 3, 600)),
        [
            Effect::Install(3),
            Effect::Retire { revoke: false },
            Effect::Answer(11, rotated.clone()),
            Effect::Answer(12, rotated),
        ]
    );
}

#[test]
fn a_rotation_that_fails_leaves_the_token_in_force_and_its_renewal_planned() {
    let mut machine = logged_in(600);
    machine.apply(at(10), Command::Rotate { asker: 10, revoke: true });
    let effects = machine.apply(at(20), refused(2));
    assert!(matches!(effects[..], [Effect::Answer(10, Answer::Failed(_))]));
    let standing = machine.standing();
    assert!(standing.holds && standing.epoch == 1 && standing.fault.is_some());
    let due = machine.due().unwrap();
    assert_eq!(machine.apply(due, Command::Due), [Effect::Renew(3)]);
}

#[test]
fn a_rotation_takes_over_from_a_lookup_and_those_who_asked_repeat() {
    let mut machine = logged_in(600);
    machine.apply(at(10), rejected(10, 1, 1));
    let effects = machine.apply(at(11), Command::Rotate { asker: 11, revoke: false });
    assert_eq!(effects, [Effect::Abandon(2), Effect::Login { ticket: 3, probe: false }]);
    assert_eq!(machine.apply(at(12), alive(2)), [], "what was abandoned is not heard");
    let effects = machine.apply(at(13), granted(3, 2, 600));
    assert!(effects.contains(&Effect::Answer(10, Answer::Repeat)));
    assert!(effects.contains(&Effect::Answer(11, Answer::Rotated { revoked: None })));
}

#[test]
fn without_a_login_whoever_is_rejected_is_told_why_at_once_until_the_next_attempt() {
    let mut machine = logged_in(600);
    machine.apply(at(5000), rejected(10, 1, 1));
    machine.apply(at(5001), dead(2));
    machine.apply(at(5002), refused(3));
    let fault = CredentialError::LoginRefused("test").into();
    for asker in 11..1000 {
        let effects = machine.apply(at(5003), rejected(asker, 1, 1));
        assert_eq!(effects, [Effect::Answer(asker, Answer::Failed(fault))]);
    }
    let due = machine.due().unwrap();
    assert_eq!(machine.apply(due, Command::Due), [Effect::Login { ticket: 4, probe: false }]);
    assert!(!machine.standing().holds);
}

#[test]
fn another_secret_at_its_source_is_tried_without_waiting_out_the_pause() {
    let mut machine = logged_in(600);
    assert_eq!(machine.apply(at(2000), Command::SourceChanged { adopt: false }), []);
    machine.apply(at(5000), rejected(10, 1, 1));
    machine.apply(at(5001), dead(2));
    machine.apply(at(5002), refused(3));
    machine.apply(at(6100), Command::SourceChanged { adopt: false });
    assert!(machine.is_under_way(Kind::Login));

    let mut token = logged_in(600);
    let effects = token.apply(at(2000), Command::SourceChanged { adopt: true });
    assert_eq!(effects, [Effect::Login { ticket: 2, probe: false }]);
}

#[test]
fn renewals_that_get_no_answer_are_tried_until_the_lease_ends() {
    let mut machine = logged_in(60);
    let mut attempts = 0;
    while let Some(due) = machine.due().filter(|due| *due < at(60_000)) {
        if let [Effect::Renew(ticket)] = machine.apply(due, Command::Due)[..] {
            attempts += 1;
            machine.apply(due, Command::Renewed { ticket, result: Err(RenewFault::Unclear) });
        }
    }
    assert!((4..60).contains(&attempts), "{attempts}");
    assert_eq!(
        machine.apply(at(60_000), Command::Due),
        [Effect::Login { ticket: attempts + 2, probe: false }]
    );
    assert_eq!(machine.standing().fault, Some(CredentialError::Expired.into()));
}

#[test]
fn a_start_tries_on_while_there_is_no_answer_and_gives_up_on_a_refusal() {
    let mut machine = machine();
    machine.apply(at(0), Command::Enroll(1));
    let result = Err(VaultError::NoLeader);
    assert_eq!(machine.apply(at(5), Command::LoggedIn { ticket: 1, result }), []);
    let due = machine.due().unwrap();
    assert_eq!(machine.apply(due, Command::Due), [Effect::Login { ticket: 2, probe: true }]);
    let effects = machine.apply(due, refused(2));
    assert!(matches!(effects[..], [Effect::Answer(1, Answer::Failed(_))]));

    let mut machine = self::machine();
    machine.apply(at(0), Command::Enroll(1));
    let late = at(0).plus(VAULT_ENROLL_PATIENCE);
    let result = Err(VaultError::Timeout);
    let effects = machine.apply(late, Command::LoggedIn { ticket: 1, result });
    assert_eq!(effects, [Effect::Answer(1, Answer::Failed(VaultError::Timeout))]);
}

#[test]
fn a_successor_looks_up_what_is_left_of_the_lease_it_took_over() {
    let mut machine = machine();
    let effects = machine.apply(at(0), Command::Resume { epoch: 7 });
    assert_eq!(effects, [Effect::LookUp(1)]);
    machine.apply(at(1), alive(1));
    let standing = machine.standing();
    assert_eq!(standing.epoch, 7);
    assert_eq!(standing.expires, Some(at(60_000)));

    let mut machine = self::machine();
    machine.apply(at(0), Command::Resume { epoch: 7 });
    assert_eq!(machine.apply(at(1), dead(1)), [Effect::Login { ticket: 2, probe: true }]);
}

#[test]
fn closing_answers_everybody_and_later_askers_at_once() {
    let mut machine = logged_in(600);
    machine.apply(at(10), rejected(10, 1, 1));
    machine.apply(at(10), rejected(11, 1, 2));
    let closed = Answer::Failed(CredentialError::Closed.into());
    assert_eq!(
        machine.apply(at(20), Command::Close { revoke: true }),
        [
            Effect::Abandon(2),
            Effect::Answer(10, closed.clone()),
            Effect::Answer(11, closed.clone()),
            Effect::Retire { revoke: true },
        ]
    );
    assert_eq!(machine.apply(at(21), Command::Enroll(12)), [Effect::Answer(12, closed)]);
    assert_eq!(machine.due(), None);
}

/// What chance does to a machine.
#[derive(Clone, Debug)]
enum Chance {
    Reject { stale: bool, mark: u64 },
    Rotate { revoke: bool },
    SourceChanged { adopt: bool },
    Finish { luck: u8 },
    Wait { ms: u64 },
    UntilDue,
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        4 => (any::<bool>(), 0_u64..4).prop_map(|(stale, mark)| Chance::Reject { stale, mark }),
        1 => any::<bool>().prop_map(|revoke| Chance::Rotate { revoke }),
        1 => any::<bool>().prop_map(|adopt| Chance::SourceChanged { adopt }),
        4 => any::<u8>().prop_map(|luck| Chance::Finish { luck }),
        2 => (0_u64..3000).prop_map(|ms| Chance::Wait { ms }),
        2 => Just(Chance::UntilDue),
    ]
}

/// Holds the invariants against what the machine says.
#[derive(Default)]
struct Judge {
    under_way: Option<(Ticket, &'static str, BootTime)>,
    open: HashMap<Asker, BootTime>,
    last_login: Option<BootTime>,
    epochs: Epoch,
}

impl Judge {
    fn hear(&mut self, now: BootTime, effects: &[Effect], ordered: bool) {
        for effect in effects {
            match effect {
                Effect::Abandon(ticket) => {
                    let (under_way, what, _) = self.under_way.take().expect("work to abandon");
                    assert_eq!(under_way, *ticket);
                    assert_ne!(what, "login", "nothing takes over from a login (1)");
                }
                Effect::Login { ticket, .. } => {
                    assert_eq!(self.under_way, None, "one piece of work at a time (1)");
                    if let Some(last) = self.last_login.filter(|_| !ordered) {
                        assert!(now.since(last) >= TIMING.login_interval_min, "too soon (2)");
                    }
                    self.last_login = Some(now);
                    self.under_way = Some((*ticket, "login", now));
                }
                Effect::Renew(ticket) => {
                    assert_eq!(self.under_way, None, "one piece of work at a time (1)");
                    self.under_way = Some((*ticket, "renewal", now));
                }
                Effect::LookUp(ticket) => {
                    assert_eq!(self.under_way, None, "one piece of work at a time (1)");
                    self.under_way = Some((*ticket, "lookup", now));
                }
                Effect::Install(_) | Effect::Retire { .. } => {}
                Effect::Answer(asker, _) => {
                    assert!(self.open.remove(asker).is_some(), "answered once (3)");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_invariants_hold_and_everybody_is_answered_once(
        seed: u64,
        chances in prop::collection::vec(chance(), 1..200),
    ) {
        let mut machine = Identity::new(TIMING, Noise::seeded(seed));
        let mut judge = Judge::default();
        let mut now = at(0);
        judge.open.insert(1, now);
        judge.hear(now, &machine.apply(now, Command::Enroll(1)), false);
        let mut asker = 1;
        let mut late_rotation = false;
        for chance in chances {
            let (command, ordered) = match chance {
                Chance::Reject { stale, mark } => {
                    asker += 1;
                    judge.open.insert(asker, now);
                    let epoch = if stale { machine.epoch.saturating_sub(1) } else { machine.epoch };
                    (rejected(asker, epoch, mark), false)
                }
                Chance::Rotate { revoke } => {
                    asker += 1;
                    judge.open.insert(asker, now);
                    late_rotation |= machine.is_under_way(Kind::Login);
                    (Command::Rotate { asker, revoke }, true)
                }
                Chance::SourceChanged { adopt } => (Command::SourceChanged { adopt }, false),
                Chance::Finish { luck } => {
                    let Some((ticket, what, _)) = judge.under_way.take() else { continue };
                    let ordered = late_rotation && what == "login";
                    late_rotation &= what != "login";
                    let command = match (what, luck % 4) {
                        ("login", 0) => refused(ticket),
                        ("login", 1) => {
                            Command::LoggedIn { ticket, result: Err(VaultError::Timeout) }
                        }
                        ("login", _) => {
                            judge.epochs += 1;
                            granted(ticket, judge.epochs, u64::from(luck) % 20)
                        }
                        ("renewal", 0) => {
                            Command::Renewed { ticket, result: Err(RenewFault::Refused) }
                        }
                        ("renewal", 1) => {
                            Command::Renewed { ticket, result: Err(RenewFault::Unclear) }
                        }
                        ("renewal", _) => {
                            let result = Ok(grant(1 + u64::from(luck) % 20));
                            Command::Renewed { ticket, result }
                        }
                        (_, 0) => {
                            let found = Found::Unclear(VaultError::Sealed);
                            Command::LookedUp { ticket, found }
                        }
                        (_, 1) => dead(ticket),
                        (_, _) => alive(ticket),
                    };
                    (command, ordered)
                }
                Chance::Wait { ms } => {
                    now = now.plus(Duration::from_millis(ms));
                    (Command::Due, false)
                }
                Chance::UntilDue => {
                    now = machine.due().map_or(now, |due| due.max(now));
                    (Command::Due, false)
                }
            };
            let effects = machine.apply(now, command);
            judge.hear(now, &effects, ordered);
        }
        judge.under_way = None;
        let effects = machine.apply(now, Command::Close { revoke: false });
        let answers = effects.into_iter().filter(|effect| !matches!(effect, Effect::Abandon(_)));
        judge.hear(now, &answers.collect::<Vec<_>>(), false);
        prop_assert!(judge.open.is_empty(), "{:?} are not answered (3)", judge.open);
    }
}
