//! Resolves one name below a root folder with the C library's resolver, against
//! a DNS server of its own that knows one address for every name.
use std::{
    net::{ToSocketAddrs, UdpSocket},
    thread,
};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (root, server, name) = (&args[1], &args[2], &args[3]);
    let socket = UdpSocket::bind((server.as_str(), 53)).expect("port 53 of the test's address");
    thread::spawn(move || serve(&socket));
    std::os::unix::fs::chroot(root).expect("chroot");
    std::env::set_current_dir("/").expect("chdir");
    match (name.as_str(), 443).to_socket_addrs() {
        Ok(found) => found.for_each(|a| println!("{a}")),
        Err(e) => println!("error: {e}"),
    }
}

fn serve(socket: &UdpSocket) {
    let mut packet = [0; 512];
    while let Ok((n, from)) = socket.recv_from(&mut packet) {
        let name = packet[12..n].iter().position(|b| *b == 0).expect("a name");
        let question = &packet[12..12 + name + 5];
        let is_a = question[name + 1..name + 3] == [0, 1];
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        answer.extend(question);
        if is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        let _ = socket.send_to(&answer, from);
    }
}
