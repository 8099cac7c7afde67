//! Applications of a site on a node: images from the site's registry, data that
//! must outlive everything, readings that must arrive, pods that behave badly.

use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use skerry_ci::{
    apps::{SiteRegistry, pack_busybox, pack_redis},
    collector::{Collector, Item},
    fixture::Fixture,
    kubectl::{Forward, Kubectl},
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
    redis::Redis,
    server::Rate,
    tools::Tools,
};

/// A logger at full speed is watched for so long.
const LOGGER_WATCH: Duration = Duration::from_secs(20);
/// Most that the logs of one container may take: two files and what is being
/// written.
const LOGS_KIB_MAX: u64 = 24 << 10;
/// Most processes on a node with a fork bomb: the pod's own limit and the rest.
const PROCESSES_MAX: u64 = 1024 + 300;
/// Readings that must queue up while the link is cut.
const QUEUED_MIN: usize = 2;

/// A node with a site around it.
struct Site {
    fixture: Fixture,
    repo: PathBuf,
    node: Node,
    kubectl: Kubectl,
    collector: Collector,
    /// `HOST:PORT`, in images' names.
    registry: String,
    /// Keys that redis has confirmed.
    written: usize,
}

#[test]
fn applications_of_a_site_outlive_crashes_cuts_updates_and_roll_backs() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("apps").unwrap();
    let registry = registry(&dir, fixture.registry_port());
    let repo = fixture.repo(&dir).unwrap();
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let node = fixture.node(&dir).unwrap();
    let kubectl = Kubectl::of(&fixture.product, &node, &dir).unwrap();
    let (collector, host) = (Collector::start().unwrap(), registry.host());
    let mut site = Site { fixture, repo, node, kubectl, collector, registry: host, written: 0 };
    site.node.power_on().unwrap();
    site.node.wait_app(BOOT_MAX).unwrap();

    site.pulls_and_starts();
    site.names();
    site.kill();
    site.misbehaves();
    // From here on there is no registry: what was pulled is all there is.
    drop(registry);
    site.power_cut();
    site.update_and_roll_back_without_the_endpoint();
}

/// The site's registry with the images of the scenario.
fn registry(dir: &Path, port: u16) -> SiteRegistry {
    let tools = Tools::locate().unwrap();
    let registry = SiteRegistry::start(&dir.join("registry"), port).unwrap();
    let (redis, busybox) = (dir.join("redis-layout"), dir.join("busybox-layout"));
    pack_redis(&tools, &redis).unwrap();
    pack_busybox(&tools, &busybox).unwrap();
    registry.push(&redis, "redis:7").unwrap();
    registry.push(&busybox, "busybox:1").unwrap();
    registry
}

impl Site {
    fn apply(&self, manifest: &str) {
        let text = manifest.replace("REGISTRY", &self.registry).replace("\"ENDPOINT\"", &self.collector.url());
        let started = Instant::now();
        // The API may be about to start.
        while let Err(error) = self.kubectl.feed(&["apply", "-f", "-"], &text) {
            assert!(started.elapsed() < BOOT_MAX, "{error:#}");
            sleep(Duration::from_secs(1));
        }
    }

    fn pod(&self, name: &str, args: &[&str]) {
        let text = include_str!("manifests/pod.yaml").replace("NAME", name).replace("ARGS", &format!("{args:?}"));
        self.apply(&text);
    }

    /// In the administrator's pod; what it prints.
    fn tool(&self, line: &[&str]) -> String {
        let exec = ["exec", "-n", "tool", "tool", "--", "busybox"];
        self.kubectl.run(&[&exec[..], line].concat()).unwrap()
    }

    fn pulls_and_starts(&mut self) {
        self.apply(include_str!("manifests/redis.yaml"));
        self.apply(include_str!("manifests/sync.yaml"));
        self.apply(include_str!("manifests/tool.yaml"));
        self.data();
        let k = &self.kubectl;
        let pulled = format!("Successfully pulled image \"{}/redis:7\"", self.registry);
        let events = k.until(&["get", "events"], |t| t.contains(&pulled));
        assert!(!events.contains("Error: pulling"), "{events}");
        k.until(&["get", "statefulset", "redis"], |t| t.contains("1/1"));
        self.offline_ready();
        k.until(&["get", "pod", "-n", "tool", "tool"], |t| t.contains("1/1"));
    }

    /// Every key that redis ever confirmed is there; one more is written.
    fn data(&mut self) {
        self.kubectl.until(&["get", "pod", "redis-0"], |t| t.contains("1/1"));
        let (_forward, mut redis) = self.redis();
        for n in 0..self.written {
            let value = redis.command(&["GET", &format!("key-{n}")]).unwrap();
            assert_eq!(value, Some(format!("value {n}")), "of {} keys", self.written);
        }
        assert_eq!(redis.command(&["DBSIZE"]).unwrap(), Some(self.written.to_string()));
        let n = self.written;
        redis.command(&["SET", &format!("key-{n}"), &format!("value {n}")]).unwrap();
        self.written += 1;
    }

    /// Through `kubectl port-forward`; a node that is coming up may break off.
    fn redis(&self) -> (Forward, Redis) {
        let started = Instant::now();
        loop {
            let connected = self.kubectl.forward("service/cache", 6379).and_then(|forward| {
                let mut redis = Redis::connect(forward.port)?;
                redis.command(&["PING"])?;
                Ok((forward, redis))
            });
            match connected {
                Ok(both) => return both,
                Err(error) => assert!(started.elapsed() < BOOT_MAX, "{error:#}"),
            }
        }
    }

    fn offline_ready(&self) {
        let line = r#"jsonpath={.items[0].status.conditions[?(@.type=="OfflineReady")].status}"#;
        self.kubectl.until(&["get", "nodes", "-o", line], |t| t == "True");
    }

    /// Names as a program in a pod asks for them, by glibc's resolver.
    fn names(&self) {
        for name in ["cache", "cache.default", "cache.default.svc.cluster.local", "redis", "redis-0.redis"] {
            let line = ["exec", "redis-0", "--", "redis-cli", "-h", name, "ping"];
            assert_eq!(self.kubectl.run(&line).unwrap().trim(), "PONG", "{name}");
        }
        let stranger = self.kubectl.run(&["exec", "redis-0", "--", "redis-cli", "-h", "nobody", "ping"]);
        assert!(stranger.is_err(), "{stranger:?}");
    }

    /// The process by SIGKILL, from outside of its container; then the pod.
    fn kill(&mut self) {
        self.tool(&["killall", "-9", "redis-server"]);
        let restarts = ["get", "pod", "redis-0", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"];
        self.kubectl.until(&restarts, |t| t != "0");
        self.data();
        let uid = ["get", "pod", "redis-0", "-o", "jsonpath={.metadata.uid}"];
        let before = self.kubectl.run(&uid).unwrap();
        self.kubectl.run(&["delete", "pod", "redis-0", "--grace-period=0", "--force"]).unwrap();
        self.kubectl.until(&uid, |t| t != before);
        self.data();
    }

    fn misbehaves(&mut self) {
        let k = &self.kubectl;
        let many = ["create", "deployment", "many", "--image=localhost/hello:demo", "--replicas=1000"];
        let refused = k.run(&many).unwrap_err().to_string();
        assert!(refused.contains("110"), "{refused}");

        self.pod("echo", &["sh", "-c", "read line; echo got $line"]);
        k.until(&["get", "pod", "echo"], |t| t.contains("Running"));
        let attached = k.feed(&["attach", "-i", "echo"], "hello\n").unwrap();
        assert!(attached.contains("got hello"), "{attached}");

        self.fork_bomb();
        self.logger();
        self.arrived(1);
    }

    fn fork_bomb(&mut self) {
        self.pod("bomb", &["sh", "-c", "f() { f | f & }; f; sleep 1000000"]);
        self.kubectl.until(&["logs", "bomb"], |t| t.contains("can't fork"));
        let count: u64 = self.tool(&["sh", "-c", "ls -d /proc/[0-9]* | wc -l"]).trim().parse().unwrap();
        println!("{count} processes with a fork bomb");
        assert!(count < PROCESSES_MAX, "{count} processes");
        self.others_are_well();
        self.ends("bomb");
    }

    fn logger(&mut self) {
        self.pod("logger", &["yes", "a line that says nothing, again and again and again"]);
        self.kubectl.until(&["logs", "--tail=1", "logger"], |t| t.contains("nothing"));
        sleep(LOGGER_WATCH);
        self.others_are_well();
        let size = self.tool(&["sh", "-c", "du -sk /logs/default_logger_*"]);
        let kib: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
        println!("{kib} KiB of logs of a logger at full speed");
        assert!(kib < LOGS_KIB_MAX, "{size}");
        self.ends("logger");
    }

    fn others_are_well(&mut self) {
        self.data();
        assert_eq!(self.node.wait_app(BOOT_MAX).unwrap().version, "1.0.0");
        let restarts = r#"jsonpath={.items[*].status.containerStatuses[*].restartCount}"#;
        let hello = self.kubectl.run(&["get", "pods", "-l", "app=hello", "-o", restarts]).unwrap();
        assert_eq!(hello, "0");
    }

    fn ends(&self, pod: &str) {
        self.kubectl.run(&["delete", "pod", pod, "--grace-period=0", "--force"]).unwrap();
        self.kubectl.until(&["get", "pods"], |t| !t.contains(pod));
        let left = |me: &Self| me.tool(&["sh", "-c", "ps | grep -c -e 'sh -c f' -e '^.* yes a line' || true"]);
        let started = Instant::now();
        // The line that looks is in the list itself.
        while left(self).trim().parse::<u64>().unwrap() > 2 {
            assert!(started.elapsed() < BOOT_MAX, "processes of {pod} stay:\n{}", self.tool(&["ps"]));
            sleep(Duration::from_secs(1));
        }
    }

    fn power_cut(&mut self) {
        self.node.power_cut().unwrap();
        self.node.power_on().unwrap();
        self.node.wait_blessed(1, BOOT_MAX + UPDATE_MAX).unwrap();
        self.data();
        self.offline_ready();
    }

    /// The link to the collector is cut; the node goes on to queue, through an
    /// update and a roll-back. Then everything comes, once and in order.
    fn update_and_roll_back_without_the_endpoint(&mut self) {
        let cut = self.collector.cut().unwrap();
        let before = self.collector.items().len();
        self.fixture.publish(&Variant::V2, &self.repo).unwrap();
        self.node.wait_blessed(2, UPDATE_MAX).unwrap();
        self.data();

        self.fixture.publish(&Variant::V3_BROKEN, &self.repo).unwrap();
        let back = |u: &skerry_formats::status::UpdaterStatus| {
            u.running.sequence.0 == 2 && u.last_rollback.as_ref().is_some_and(|r| r.release.sequence.0 == 3)
        };
        self.node.wait_updater("the node to go back to release 2", UPDATE_MAX, |_| (), back).unwrap();
        self.data();
        self.offline_ready();

        let logs = ["logs", "-l", "app=sync", "--tail=-1"];
        self.kubectl.until(&logs, |t| t.matches("stays queued").count() >= QUEUED_MIN);
        assert_eq!(self.collector.items().len(), before, "the link is not cut");
        drop(cut);
        self.arrived(before + QUEUED_MIN);
    }

    /// So many readings at least, every one once and in order.
    fn arrived(&self, least: usize) {
        let started = Instant::now();
        while self.collector.items().len() < least {
            assert!(started.elapsed() < BOOT_MAX, "only {:?} came", self.collector.items());
            sleep(Duration::from_secs(1));
        }
        let items = self.collector.items();
        println!("{} readings came", items.len());
        for (number, item) in (1..).zip(&items) {
            let wanted = Item { name: format!("{number:06}"), body: format!("reading {number}\n") };
            assert_eq!(*item, wanted, "{items:?}");
        }
    }
}
