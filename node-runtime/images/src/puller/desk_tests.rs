//! Pull policies and back-off, played through with made-up images and times.

#![allow(clippy::unwrap_used)]
use skerry_formats::{ObjectDigest, Sha256Digest};

use super::*;

fn image(n: u8) -> Arc<PulledImage> {
    Arc::new(PulledImage {
        reference: "r".into(),
        manifest_digest: Sha256Digest([n; 32]),
        composefs: ObjectDigest([n; 32]),
        config: Default::default(),
        size_bytes: 7,
    })
}

fn request(key: &str, image: &str, policy: PullPolicy) -> Request {
    Request { key: key.into(), image: image.into(), policy, keyring: Keyring::default() }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A desk with its requests and the images that are here.
struct Bench {
    desk: Desk,
    here: BTreeMap<String, Arc<PulledImage>>,
    events: Vec<String>,
}

impl Bench {
    fn new(requests: &[Request]) -> Self {
        let mut desk = Desk::default();
        desk.set_requests(requests);
        Self { desk, here: BTreeMap::new(), events: vec![] }
    }

    fn round(&mut self, now: u64) -> Round {
        let here = &self.here;
        let mut round = self.desk.round(|r| here.get(&r.to_string()).cloned(), secs(now));
        let told = std::mem::take(&mut round.events);
        self.events.extend(told.into_iter().map(|e| format!("{} {}", e.key, e.reason)));
        round
    }

    fn fail(&mut self, job: &Job, now: u64) {
        let told = self.desk.finished(job, Err("no link".into()), secs(now), secs(1));
        self.events.extend(told.into_iter().map(|e| format!("{} {}", e.key, e.reason)));
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }
}

/// Short form of a state.
fn short(round: &Round, key: &str) -> String {
    match round.states.get(key) {
        None => "none".into(),
        Some(ImageState::Pulling) => "pulling".into(),
        Some(ImageState::Present(i)) => format!("present {}", i.manifest_digest.0[0]),
        Some(ImageState::Failed { reason, .. }) => (*reason).into(),
    }
}

#[test]
fn policies() {
    use PullPolicy::{Always, IfNotPresent, Never};
    for (policy, here, want, starts) in [
        (Always, false, "pulling", 1),
        (Always, true, "pulling", 1),
        (IfNotPresent, false, "pulling", 1),
        (IfNotPresent, true, "present 1", 0),
        (Never, false, "ErrImageNeverPull", 0),
        (Never, true, "present 1", 0),
    ] {
        let mut bench = Bench::new(&[request("a", "nginx", policy)]);
        if here {
            bench.here.insert("docker.io/library/nginx:latest".into(), image(1));
        }
        let round = bench.round(0);
        assert_eq!((short(&round, "a").as_str(), round.start.len()), (want, starts), "{policy:?}, here: {here}");
    }
}

#[test]
fn back_off_doubles_to_five_minutes_and_shows_both_reasons() {
    let mut bench = Bench::new(&[request("a", "nginx", PullPolicy::IfNotPresent)]);
    let mut now = 0;
    for want in [10, 20, 40, 80, 160, 300, 300] {
        let job = bench.round(now).start.pop().expect("a retry is due");
        assert_eq!(bench.told(), ["a Pulling"]);
        bench.fail(&job, now);
        assert_eq!(bench.told(), ["a Failed", "a Failed"]);
        let round = bench.round(now);
        assert_eq!((short(&round, "a").as_str(), round.wake), ("ErrImagePull", Some(secs(now + SHOW_SECS))));
        let round = bench.round(now + SHOW_SECS);
        assert_eq!((short(&round, "a").as_str(), round.wake), ("ImagePullBackOff", Some(secs(now + want))));
        let ImageState::Failed { message, .. } = &round.states["a"] else { panic!() };
        assert_eq!(message, "Back-off pulling image \"nginx\": ErrImagePull: no link");
        assert_eq!(bench.told(), ["a BackOff", "a Failed"]);
        assert!(bench.round(now + want - 1).start.is_empty());
        assert!(bench.told().is_empty(), "back-off is told once");
        now += want;
    }
}

#[test]
fn the_same_image_is_pulled_once_and_another_password_is_another_pull() {
    let login = crate::Login { user: "u".into(), password: "p".into() };
    let mut requests = vec![
        request("a", "nginx", PullPolicy::IfNotPresent),
        request("b", "docker.io/library/nginx:latest", PullPolicy::Always),
        request("c", "nginx", PullPolicy::IfNotPresent),
    ];
    requests[2].keyring = Keyring::with("docker.io", login);
    let mut bench = Bench::new(&requests);
    let round = bench.round(0);
    assert_eq!(round.start.len(), 2);
    let open = round.start.iter().find(|j| j.keyring == Keyring::default()).unwrap().clone();
    bench.desk.finished(&open, Ok(image(1)), secs(1), secs(1));
    let round = bench.round(1);
    assert_eq!(["a", "b", "c"].map(|k| short(&round, k)), ["present 1", "present 1", "pulling"]);
    assert!(round.start.is_empty());
}

#[test]
fn always_asks_once_for_each_key() {
    let always = |key| request(key, "nginx", PullPolicy::Always);
    let mut bench = Bench::new(&[always("a")]);
    let job = bench.round(0).start.pop().unwrap();
    bench.desk.finished(&job, Ok(image(1)), secs(1), secs(1));
    assert!(bench.round(2).start.is_empty());
    bench.desk.set_requests(&[always("a"), always("b")]);
    let round = bench.round(3);
    assert_eq!((round.start.len(), short(&round, "a"), short(&round, "b")), (1, "present 1".into(), "pulling".into()));
    bench.desk.finished(&job, Ok(image(2)), secs(4), secs(1));
    let round = bench.round(5);
    assert_eq!(["a", "b"].map(|k| short(&round, k)), ["present 1", "present 2"], "a running pod keeps its image");
}

#[test]
fn names_that_are_none_and_what_nobody_wants_any_more() {
    let mut bench =
        Bench::new(&[request("bad", "No Image", PullPolicy::Always), request("a", "nginx", PullPolicy::Always)]);
    let round = bench.round(0);
    assert_eq!((short(&round, "bad").as_str(), round.wake), ("InvalidImageName", None));
    bench.round(1);
    assert_eq!(bench.told(), ["bad InspectFailed", "a Pulling"], "told once");
    bench.desk.set_requests(&[]);
    let round = bench.round(2);
    assert_eq!((round.cancel.len(), round.states.len()), (1, 0));
}

#[test]
fn a_name_is_present_if_anybody_has_it() {
    use ImageState::{Failed, Present, Pulling};
    let failed = || Failed { reason: "ErrImagePull", message: String::new() };
    let requests = ["a", "b"].map(|k| request(k, "nginx", PullPolicy::Always));
    for (a, b, want) in
        [(failed(), Pulling, Pulling), (Present(image(1)), failed(), Present(image(1))), (failed(), failed(), failed())]
    {
        let states = BTreeMap::from([("a".into(), a), ("b".into(), b)]);
        assert_eq!(super::super::by_image(&requests, &states)["nginx"], want);
    }
}
