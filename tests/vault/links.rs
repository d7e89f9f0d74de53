//! What lies between the nodes of a cluster, so that one can be cut off from the others while
//! everybody else still reaches it.
//!
//! Every node is known to the others under the port of a relay. Whose connection it is that a relay
//! takes is looked up in `/proc`: a node that is cut off neither reaches others nor is reached.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The links of a cluster.
#[derive(Clone, Default)]
pub struct Links(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Processes of the nodes, in their order.
    pids: Vec<u32>,
    cut_off: Option<usize>,
    /// Connections between two nodes, from both ends.
    open: Vec<(usize, usize, [TcpStream; 2])>,
}

impl State {
    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut_off.is_some_and(|node| (node == from) != (node == to))
    }
}

impl Links {
    /// Relays what comes to the port that is given back to `port`, where the node `to` listens.
    pub fn relay(&self, to: usize, port: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let known_as = listener.local_addr().unwrap().port();
        let links = self.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                let links = links.clone();
                std::thread::spawn(move || links.connect(near, to, port));
            }
        });
        known_as
    }

    /// Says which processes the nodes are.
    pub fn are_of(&self, pids: Vec<u32>) {
        self.0.lock().unwrap().pids = pids;
    }

    /// Cuts `node` off from the others.
    pub fn cut_off(&self, node: usize) {
        let mut state = self.0.lock().unwrap();
        state.cut_off = Some(node);
        let (cut, open): (Vec<_>, _) =
            state.open.drain(..).partition(|(from, to, _)| (*from == node) != (*to == node));
        state.open = open;
        for stream in cut.iter().flat_map(|(_, _, streams)| streams) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets all nodes reach each other again.
    pub fn heal(&self) {
        self.0.lock().unwrap().cut_off = None;
    }

    /// `None` where the two may not talk.
    fn connect(&self, near: TcpStream, to: usize, port: u16) -> Option<()> {
        let from = self.owner(near.peer_addr().ok()?.port())?;
        let far = TcpStream::connect(("127.0.0.1", port)).ok()?;
        {
            let mut state = self.0.lock().unwrap();
            if state.is_cut(from, to) {
                return None;
            }
            let ends = [near.try_clone().ok()?, far.try_clone().ok()?];
            state.open.push((from, to, ends));
        }
        let (back, forth) = (far.try_clone().ok()?, near.try_clone().ok()?);
        std::thread::spawn(move || pump(back, forth));
        pump(near, far);
        Some(())
    }

    /// The node whose socket has the local port `port`.
    fn owner(&self, port: u16) -> Option<usize> {
        let local = format!("0100007F:{port:04X}");
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let inode = fields.filter(|fields| fields[1] == local).map(|fields| fields[9].to_owned());
        let links: Vec<_> = inode.map(|inode| format!("socket:[{inode}]")).collect();
        let pids = self.0.lock().unwrap().pids.clone();
        pids.iter().position(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
            targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        })
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..len]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
