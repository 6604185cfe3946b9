//! The suite: what Jackfield promises, in its users' words, through a real socket.

mod bookstore;
mod capabilities;
mod chain;
mod clients;
mod commands;
mod gate;
mod house;
mod life;
mod limits;
mod neighbours;
mod observe;
mod rate_limit;
mod redirect;
mod routing;
mod sandbox;
mod swap;
