//! A simulated ring: Braze with its faults and its hands in the dashboard, nodes that come and go, a store, a
//! clock, and a worker that does what the plan says and may die anywhere. It checks the rules at every change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid},
        key::{KeyRecord, KeyState},
        rotation::{Goal, Publication},
    },
    rotate::{
        Config,
        plan::{
            AppSnapshot, Blocker, Entry, KeySnapshot, Listing, Next, NodeSnapshot, Observation, SLOTS, Snapshot, Step,
            Transition, next, transition,
        },
    },
};

pub const START: UnixMillis = UnixMillis(1_795_000_000_000);

/// Fault of the next change that Braze is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused.
    Refused,
    /// It is lost before it has an effect.
    Before,
    /// It takes effect, and the answer is lost.
    After,
}

#[derive(Clone, Debug)]
struct Held {
    id: String,
    kid: Kid,
    primary: bool,
    /// Time from which lists show it.
    visible: UnixMillis,
}

#[derive(Clone, Debug)]
struct App {
    name: AppName,
    manual: bool,
    silent: bool,
    held: Vec<Held>,
    /// Keys that somebody deleted in the dashboard.
    robbed: BTreeSet<Kid>,
    publications: BTreeMap<Kid, Publication>,
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    live: bool,
    loaded: BTreeSet<Kid>,
}

pub struct Simulation {
    pub now: UnixMillis,
    pub policy: Config,
    pub goal: Goal,
    pub new_key: Option<Kid>,
    pub keys: Vec<KeySnapshot>,
    apps: Vec<App>,
    nodes: Vec<Node>,
    /// True end of the last token of each key.
    tokens: BTreeMap<Kid, UnixMillis>,
    pub faults: Vec<Fault>,
    /// Time by which a list lags behind.
    pub lag: Duration,
    /// Times of the requests to add each key to each app that were not refused.
    pub creates: BTreeMap<(AppName, Kid), Vec<UnixMillis>>,
    counter: u8,
}

impl Simulation {
    /// One key that signs, at every app.
    pub fn new(policy: Config, rest_apps: usize, manual_apps: usize, nodes: usize) -> Self {
        let app = |n: usize| App {
            name: format!("app-{n}").parse().unwrap(),
            manual: n >= rest_apps,
            silent: false,
            held: Vec::new(),
            robbed: BTreeSet::new(),
            publications: BTreeMap::new(),
        };
        let node = |n| Node { name: format!("node-{n}"), live: true, loaded: BTreeSet::new() };
        let mut simulation = Self {
            now: START,
            policy,
            goal: Goal::Idle,
            new_key: None,
            keys: Vec::new(),
            apps: (0..rest_apps + manual_apps).map(app).collect(),
            nodes: (0..nodes).map(node).collect(),
            tokens: BTreeMap::new(),
            faults: Vec::new(),
            lag: Duration::ZERO,
            creates: BTreeMap::new(),
            counter: 0,
        };
        let kid = simulation.make_key();
        simulation.keys[0].record.state = KeyState::Active;
        for app in 0..simulation.apps.len() {
            simulation.add(app, &kid, true);
        }
        simulation.pass(Duration::from_secs(2));
        simulation
    }

    fn make_key(&mut self) -> Kid {
        self.counter += 1;
        let record = key(self.counter, self.now);
        let kid = record.kid.clone();
        self.keys.push(KeySnapshot { record, destroyed: false, tokens_until: None });
        kid
    }

    fn add(&mut self, app: usize, kid: &Kid, primary: bool) {
        self.counter += 1;
        let (id, visible) = (format!("braze-{}", self.counter), self.now.plus(self.lag));
        let held = &mut self.apps[app].held;
        assert!(held.len() < SLOTS, "a fourth key was asked for");
        let primary = primary || held.is_empty();
        if primary {
            for key in held.iter_mut() {
                key.primary = false;
            }
        }
        held.push(Held { id, kid: kid.clone(), primary, visible });
        self.apps[app].robbed.remove(kid);
    }

    /// Time passes: tokens are signed, nodes look around and load what they should.
    pub fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        let held = [KeyState::Published, KeyState::Active, KeyState::Retiring];
        let kids: BTreeSet<Kid> =
            self.keys.iter().filter(|key| held.contains(&key.record.state)).map(|key| key.record.kid.clone()).collect();
        let any = self.nodes.iter().any(|node| node.live);
        self.nodes.iter_mut().filter(|node| node.live).for_each(|node| node.loaded.clone_from(&kids));
        let until = self.now.plus(self.policy.longest_life);
        for key in self.keys.iter_mut().filter(|key| key.record.state == KeyState::Active && any) {
            key.tokens_until = Some(until);
            self.tokens.insert(key.record.kid.clone(), until);
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let nodes = self.nodes.iter().filter(|node| node.live);
        Snapshot {
            ring: "main".parse().unwrap(),
            now: self.now,
            policy: self.policy.clone(),
            goal: self.goal,
            new_key: self.new_key.clone(),
            keys: self.keys.clone(),
            apps: self.apps.iter().map(|app| self.app_snapshot(app)).collect(),
            nodes: nodes.map(|node| NodeSnapshot { node: node.name.clone(), loaded: node.loaded.clone() }).collect(),
        }
    }

    fn app_snapshot(&self, app: &App) -> AppSnapshot {
        let ours = |kid: &Kid| self.keys.iter().any(|key| key.record.kid == *kid);
        let shown = app.held.iter().filter(|held| held.visible <= self.now).map(|held| Entry {
            id: held.id.clone(),
            kid: Some(held.kid.clone()).filter(ours),
            primary: held.primary,
        });
        let listing = match (app.manual, app.silent) {
            (true, _) => Listing::Attested,
            (false, true) => Listing::Silent("down".to_owned()),
            (false, false) => Listing::Shown(shown.collect()),
        };
        AppSnapshot { app: app.name.clone(), listing, publications: app.publications.clone() }
    }

    /// One step of the worker; `dies` before it puts its effect on record.
    pub fn work(&mut self, dies: bool) -> Next {
        let snapshot = self.snapshot();
        let chosen = next(&snapshot);
        assert_eq!(chosen, next(&snapshot), "the same snapshot, the same plan");
        if let Next::Do { step, .. } = &chosen {
            self.check(&snapshot, step);
            self.take(&snapshot, step, dies);
        }
        self.check_braze();
        chosen
    }

    fn take(&mut self, snapshot: &Snapshot, step: &Step, dies: bool) {
        match step {
            Step::Publish { app, kid } => {
                self.publish(app, kid, dies);
                return;
            }
            Step::Promote { app, id, .. } => {
                let at = self.at(app);
                self.ask_braze(|simulation| {
                    let held = &mut simulation.apps[at].held;
                    if held.iter().any(|key| key.id == *id) {
                        for key in held.iter_mut() {
                            key.primary = key.id == *id;
                        }
                    }
                });
            }
            Step::Withdraw { app, kid, id } => {
                let at = self.at(app);
                let answered = self.ask_braze(|simulation| simulation.apps[at].held.retain(|key| key.id != *id));
                let unlisted = self.apps[at].publications.get(kid).is_some_and(|known| known.shown.is_none());
                if answered && unlisted && !dies {
                    self.apps[at].publications.remove(kid);
                }
            }
            Step::Generate if !dies => {
                let kid = self.make_key();
                if self.goal == Goal::Rotating {
                    self.new_key = Some(kid);
                }
            }
            Step::Destroy { kid } if !dies => {
                self.keys.iter_mut().filter(|key| key.record.kid == *kid).for_each(|key| key.destroyed = true);
            }
            Step::Note { observations } if !dies => observations.iter().for_each(|observation| self.note(observation)),
            _ => {}
        }
        if !dies && let Some(transition) = transition(snapshot, step).unwrap() {
            self.transition(transition);
        }
    }

    pub fn transition(&mut self, transition: Transition) {
        for (from, record) in transition.changes {
            let key = self.keys.iter_mut().find(|key| key.record.kid == record.kid).unwrap();
            assert_eq!(key.record.state, from);
            key.record = record;
        }
        (self.goal, self.new_key) = (transition.goal, transition.new_key);
        let signing = self.keys.iter().filter(|key| key.record.state == KeyState::Active).count();
        assert!(signing <= 1, "two keys sign");
    }

    fn note(&mut self, observation: &Observation) {
        let after = self.snapshot().publication_after(observation);
        let (app, kid) = observation.subject();
        let at = self.at(app);
        match after {
            Some(after) => drop(self.apps[at].publications.insert(kid.clone(), after)),
            None => drop(self.apps[at].publications.remove(kid)),
        }
    }

    /// Puts the request on record, asks Braze, and puts its answer on record.
    fn publish(&mut self, app: &AppName, kid: &Kid, dies: bool) {
        let at = self.at(app);
        let before = self.apps[at].publications.get(kid).cloned();
        let asked = Publication { asked: Some(self.now), ..before.clone().unwrap_or_default() };
        self.apps[at].publications.insert(kid.clone(), asked.clone());
        if self.faults.last() == Some(&Fault::Refused) {
            self.faults.pop();
            match before {
                _ if dies => {}
                Some(before) => drop(self.apps[at].publications.insert(kid.clone(), before)),
                None => drop(self.apps[at].publications.remove(kid)),
            }
            return;
        }
        let times = self.creates.entry((app.clone(), kid.clone())).or_default();
        let last = times.last().copied();
        times.push(self.now);
        assert!(last.is_none_or(|last| last.plus(self.policy.soak) <= self.now), "asked for twice within the soak");
        let is_settled = self.lag <= self.policy.soak;
        let answered = self.ask_braze(|simulation| {
            assert!(!is_settled || !Self::truly_held(&simulation.apps[at], kid), "a duplicate was made");
            simulation.add(at, kid, false);
        });
        if answered && !dies {
            let braze_id = self.apps[at].held.last().map(|held| held.id.clone());
            self.apps[at].publications.insert(kid.clone(), Publication { braze_id, ..asked });
        }
    }

    /// Returns whether Braze's answer arrives.
    fn ask_braze(&mut self, effect: impl FnOnce(&mut Self)) -> bool {
        match self.faults.pop() {
            Some(Fault::Refused | Fault::Before) => false,
            Some(Fault::After) => {
                effect(self);
                false
            }
            None => {
                effect(self);
                true
            }
        }
    }

    fn at(&self, app: &AppName) -> usize {
        self.apps.iter().position(|snapshot| snapshot.name == *app).unwrap()
    }

    fn truly_held(app: &App, kid: &Kid) -> bool {
        app.held.iter().any(|held| held.kid == *kid)
    }

    /// The rules, at the moment of each step.
    fn check(&self, snapshot: &Snapshot, step: &Step) {
        match step {
            Step::Activate { kid, .. } => self.check_signs(kid, snapshot.active().is_none()),
            Step::Withdraw { app, kid, id } => {
                let app = &self.apps[self.at(app)];
                let held = app.held.iter().find(|held| held.id == *id);
                assert!(held.is_none_or(|held| !held.primary), "a primary key is never withdrawn");
                let copies = app.held.iter().filter(|held| held.kid == *kid).count();
                let signs = snapshot.active().is_some_and(|active| active.record.kid == *kid);
                assert!(!signs || copies > 1, "the key that signs is never withdrawn");
            }
            Step::Destroy { kid } => {
                let state = snapshot.key(kid).unwrap().record.state;
                let dead = self.tokens.get(kid).is_none_or(|until| *until < self.now);
                assert!(state == KeyState::Compromised || (state == KeyState::Retired && dead), "{state:?}");
            }
            Step::Retire { kid } => {
                assert!(self.tokens.get(kid).is_none_or(|until| *until < self.now), "its tokens are alive");
            }
            _ => {}
        }
    }

    fn check_signs(&self, kid: &Kid, emergency: bool) {
        for app in &self.apps {
            let excused = emergency && app.silent && app.robbed.contains(kid);
            assert!(Self::truly_held(app, kid) || excused, "{} does not hold what is to sign", app.name);
        }
        for node in self.nodes.iter().filter(|node| node.live) {
            assert!(node.loaded.contains(kid), "{} has not loaded what is to sign", node.name);
        }
    }

    fn check_braze(&self) {
        for app in &self.apps {
            assert!(app.held.len() <= SLOTS);
            let signs = self.keys.iter().filter(|key| key.record.state == KeyState::Active);
            for key in signs {
                let kid = &key.record.kid;
                assert!(
                    Self::truly_held(app, kid) || app.robbed.contains(kid),
                    "{} lost the key that signs, and not by a thief",
                    app.name
                );
            }
        }
    }

    /// An operator does what manual apps need, and looks for keys that no list shows.
    pub fn operate(&mut self, blockers: &[Blocker]) {
        for blocker in blockers {
            match blocker {
                Blocker::Paste { app, kid } => {
                    let at = self.at(app);
                    self.add(at, kid, false);
                    self.note(&Observation::Assumed { app: app.clone(), kid: kid.clone() });
                }
                Blocker::Remove { app, kid } => {
                    let at = self.at(app);
                    self.apps[at].held.retain(|held| held.kid != *kid);
                    self.note(&Observation::Gone { app: app.clone(), kid: kid.clone() });
                }
                // Where the dashboard does not show it, it is asked for again.
                Blocker::Unlisted { app, kid, .. } if !Self::truly_held(&self.apps[self.at(app)], kid) => {
                    self.note(&Observation::Gone { app: app.clone(), kid: kid.clone() });
                }
                _ => {}
            }
        }
    }

    // Outsiders.

    pub fn silence(&mut self, app: usize, silent: bool) {
        let at = app % self.apps.len();
        self.apps[at].silent = silent && !self.apps[at].manual;
    }

    /// Somebody adds a key of their own, where there is room for the rotation beside it.
    pub fn intrude(&mut self, app: usize) {
        let at = app % self.apps.len();
        self.counter += 1;
        let foreign = Kid::from_thumbprint(&[self.counter; 32]);
        let alone = self.apps[at].held.iter().all(|held| self.keys.iter().any(|key| key.record.kid == held.kid));
        // A key that was asked for and is not there yet may still appear.
        let coming = self.apps[at].publications.values().any(|known| known.asked.is_some() && known.shown.is_none());
        if alone && !coming && !self.apps[at].manual && self.apps[at].held.len() < SLOTS - 1 {
            self.add(at, &foreign, false);
            // That Braze refuses what a list could not show yet is Braze's part.
            self.apps[at].held.iter_mut().for_each(|held| held.visible = held.visible.min(self.now));
        }
    }

    /// Somebody deletes a key that does not sign.
    pub fn rob(&mut self, app: usize, which: usize) {
        let at = app % self.apps.len();
        let signs = self.keys.iter().find(|key| key.record.state == KeyState::Active).map(|key| key.record.kid.clone());
        let free: Vec<Held> = self.apps[at]
            .held
            .iter()
            .filter(|held| !held.primary && Some(&held.kid) != signs.as_ref())
            .cloned()
            .collect();
        if let Some(held) = free.get(which % free.len().max(1)).filter(|_| !self.apps[at].manual) {
            self.apps[at].held.retain(|other| other.id != held.id);
            self.apps[at].robbed.insert(held.kid.clone());
        }
    }

    /// A node stops, or a new one starts; a starting node loads what is on record before it serves.
    pub fn toggle_node(&mut self, node: usize) {
        if self.nodes.is_empty() {
            return;
        }
        let at = node % self.nodes.len();
        self.nodes[at].live = !self.nodes[at].live;
        if self.nodes[at].live {
            let held = self.keys.iter().filter(|key| key.record.state.is_verifiable());
            self.nodes[at].loaded = held.map(|key| key.record.kid.clone()).collect();
        }
    }

    /// Everything works again.
    pub fn heal(&mut self) {
        self.faults.clear();
        self.lag = Duration::ZERO;
        self.apps.iter_mut().for_each(|app| app.silent = false);
    }

    /// Works until nothing is left to do; the number of steps.
    pub fn settle(&mut self) -> usize {
        for steps in 0..400 {
            match self.work(false) {
                Next::Do { .. } => self.pass(Duration::from_millis(200)),
                Next::Idle { .. } => return steps,
                Next::Wait { blockers, until } => {
                    self.operate(&blockers);
                    let wait = until.map_or(Duration::ZERO, |until| until.since(self.now));
                    self.pass(wait.max(Duration::from_secs(2)));
                }
            }
        }
        panic!("no end: {:?}, goal {:?}", self.work(false), self.goal);
    }

    /// Checks the state when nothing is left to do.
    pub fn check_settled(&self) {
        assert_eq!(self.goal, Goal::Idle);
        let signing: Vec<&KeySnapshot> = self.keys.iter().filter(|key| key.record.state == KeyState::Active).collect();
        assert_eq!(signing.len(), 1, "one key signs");
        let signs = &signing[0].record.kid;
        for key in &self.keys {
            match key.record.state {
                KeyState::Retired | KeyState::Compromised => {
                    assert!(key.destroyed);
                    for app in &self.apps {
                        assert!(!Self::truly_held(app, &key.record.kid), "left behind at {}", app.name);
                    }
                }
                KeyState::Retiring => panic!("still retiring"),
                _ => assert!(!key.destroyed),
            }
        }
        for app in &self.apps {
            assert!(Self::truly_held(app, signs), "{} does not hold the key that signs", app.name);
            let primary = app.held.iter().find(|held| held.primary);
            assert!(app.manual || primary.is_some_and(|held| held.kid == *signs), "{}", app.name);
            let mut kids: Vec<&Kid> = app.held.iter().map(|held| &held.kid).collect();
            kids.sort();
            kids.dedup();
            assert_eq!(kids.len(), app.held.len(), "no key is there twice");
        }
        let ready = self.keys.iter().filter(|key| key.record.state == KeyState::Published).count();
        assert!(!self.policy.standby || ready >= 1, "a key stands by");
    }
}

pub fn key(n: u8, now: UnixMillis) -> KeyRecord {
    KeyRecord {
        kid: Kid::from_thumbprint(&[n; 32]),
        ring: "main".parse().unwrap(),
        state: KeyState::Pending,
        bits: 2048,
        public_key: String::new(),
        custody: "file".to_owned(),
        locator: String::new(),
        created: now,
        changed: now,
    }
}
