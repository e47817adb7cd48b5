//! A right echo server in Rust: a thread for each client.
//!
//!     echo [port]        prints the address that it listens on, and serves
//!
//! The listener has SO_REUSEADDR, SIGPIPE is ignored, and accept tries again by itself after EINTR.
//! `thread::spawn` would panic where no thread can be had; a `Builder` says so.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use std::{env, error, io};

fn echo(client: TcpStream) -> io::Result<u64> {
    io::copy(&mut &client, &mut &client)
}

fn serve_next(listener: &TcpListener) -> io::Result<()> {
    let (client, _) = match listener.accept() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Ok(()),
        accepted => accepted?,
    };
    thread::Builder::new().spawn(|| echo(client))?; // an error of it: the client has gone
    Ok(())
}

fn main() -> Result<(), Box<dyn error::Error>> {
    let port = env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("{}", listener.local_addr()?);
    loop {
        if let Err(error) = serve_next(&listener) {
            eprintln!("{error}"); // short of something: neither spin nor end
            thread::sleep(Duration::from_secs(1));
        }
    }
}
