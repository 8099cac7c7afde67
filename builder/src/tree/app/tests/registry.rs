//! Pulls from the real registry of the container world, with and without a
//! login. `ci/setup` fetches it.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    super::registry::{RegistryAccess, only},
    *,
};

const USER: &str = "skerry";
const PASSWORD: &str = "open:sesame";
/// bcrypt of [`PASSWORD`], cost 5.
const HTPASSWD: &str = "skerry:$2y$05$abcdefghijklmnopqrstuubMHTpw5uKdtLGvKw5uzYhbpqtktcY3.\n";

enum Login {
    Open,
    Required,
}

struct Registry {
    child: Child,
    address: String,
    storage: PathBuf,
}

impl Registry {
    fn start(dir: &Path, login: Login) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let storage = dir.join("storage");
        let mut config = json!({"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": storage}}, "http": {"addr": address}});
        if let Login::Required = login {
            fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "skerry", "path": dir.join("htpasswd")}});
        }
        // JSON is YAML.
        fs::write(dir.join("config.yml"), config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(dir.join("log")).unwrap());
        skerry_platform::process::die_with_parent(&mut command);
        let child = command.spawn().expect("docker-registry is needed; ci/setup fetches it");
        let mut registry = Self { child, address, storage };
        while TcpStream::connect(&registry.address).is_err() {
            let ended = registry.child.try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry: {}", fs::read_to_string(dir.join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// Push a layout with skopeo; returns the reference by digest.
    fn push(&self, layout: &Path, digest: &str, login: Login) -> String {
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
        if let Login::Required = login {
            command.arg(format!("--dest-creds={USER}:{PASSWORD}"));
        }
        command.arg(format!("oci:{}", layout.display())).arg(format!("docker://{}/example/hello:1", self.address));
        let output = command.output().expect("skopeo is needed; ci/setup installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("{}/example/hello@{digest}", self.address)
    }

    /// File of a blob in the registry's own storage.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.storage.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A layout with one image; returns the digests of its manifest and its layer.
fn hello(folder: &Path) -> (String, String) {
    let mut blobs = Blobs::default();
    let bytes = gzip(&layer(HELLO));
    let layer = format!("sha256:{}", Sha256Digest::of(&bytes));
    let image = blobs.image("amd64", vec![bytes]);
    blobs.write_layout(folder, std::slice::from_ref(&image));
    (image["digest"].as_str().unwrap().into(), layer)
}

/// Load with a cache of its own.
fn pull(image: &str, access: &RegistryAccess) -> Result<AppImage, String> {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path().join("cache"));
    load_with(&app(image), Arch::X86_64, dir.path(), &cache, &Progress::none(), access).map_err(|e| e.to_string())
}

fn assert_says(result: Result<AppImage, String>, wanted: &str) {
    let error = result.expect_err(wanted);
    assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
    assert!(!error.contains("sesame"), "no password in a message: {error}");
}

#[test]
fn open_registry() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), Login::Open);
    let (digest, layer) = hello(&dir.path().join("layout"));
    let image = registry.push(&dir.path().join("layout"), &digest, Login::Open);
    let access = RegistryAccess::default();
    assert_eq!(paths(&pull(&image, &access).unwrap()), ["app", "etc", "etc/x"]);

    let ones = "1".repeat(64);
    assert_says(
        pull(&format!("{}/example/hello@sha256:{ones}", registry.address), &access),
        "nothing with this digest",
    );
    assert_says(pull(&image.replace("hello", "nobody"), &access), "nothing with this digest");

    // A registry whose disk went bad, or that lies.
    let file = registry.blob(&layer);
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&file, bad).unwrap();
    assert_says(pull(&image, &access), "has other content than its digest says");
    fs::remove_file(&file).unwrap();
    assert_says(pull(&image, &access), "nothing with this digest");

    drop(registry);
    assert_says(pull(&image, &access), "Connection refused");
}

#[test]
fn registry_that_asks_for_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), Login::Required);
    let (digest, _) = hello(&dir.path().join("layout"));
    let image = registry.push(&dir.path().join("layout"), &digest, Login::Required);
    assert_says(pull(&image, &RegistryAccess::default()), "asks for a login");

    // The file as a container tool writes it.
    let file = dir.path().join("auth.json");
    let login = Command::new("skopeo")
        .args(["login", "--tls-verify=false", "--username", USER, "--password", PASSWORD, "--authfile"])
        .arg(&file)
        .arg(&registry.address)
        .output()
        .unwrap();
    assert!(login.status.success(), "{}", String::from_utf8_lossy(&login.stderr));
    assert_eq!(paths(&pull(&image, &only(&file)).unwrap()), ["app", "etc", "etc/x"]);
    assert_says(pull(&image.replace("hello", "nobody"), &only(&file)), "nothing with this digest");

    let wrong = dir.path().join("wrong.json");
    // skerry:wrong
    let text = format!(r#"{{"auths":{{"{}":{{"auth":"c2tlcnJ5Ondyb25n"}}}}}}"#, registry.address);
    fs::write(&wrong, text).unwrap();
    assert_says(pull(&image, &only(&wrong)), "refuses user skerry with the password in ");

    let helper = format!(r#"{{"credHelpers":{{"{}":"pass"}}}}"#, registry.address);
    fs::write(&wrong, helper).unwrap();
    assert_says(pull(&image, &only(&wrong)), "docker-credential-pass");
}
