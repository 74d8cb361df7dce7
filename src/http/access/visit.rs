//! The door as one caller finds it: the handlers take this, so that none of them can reach more than its caller may.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use callboard_actors::model::access::{Scope, Scopes};

use super::{Caller, Pass, needs};
use crate::http::audit;
use crate::http::door::Door;
use crate::http::kinds;
use crate::http::problem::Problem;
use crate::http::routes::Route;

/// The door, with a platform that shows what the caller may see. Taking it checks that the caller has a scope that the
/// route asks for, before anything of the body is read.
#[derive(Debug)]
pub enum Visit {
    /// As it is for everybody whom nothing confines.
    Plain(Data<Door>),
    /// As it is for the holder of one token.
    Own(Box<Door>),
}

impl Deref for Visit {
    type Target = Door;

    fn deref(&self) -> &Door {
        match self {
            Self::Plain(door) => door,
            Self::Own(door) => door,
        }
    }
}

impl FromRequest for Visit {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(enter(request))
    }
}

fn enter(request: &HttpRequest) -> Result<Visit, Problem> {
    let (Some(door), Some(route)) = (request.app_data::<Data<Door>>(), request.app_data::<Route>()) else {
        return Err(Problem::new(&kinds::INTERNAL, "the route was mounted without its door"));
    };
    audit::routed(request, *route);
    let needed = needs::of(*route, request.method());
    let extensions = request.extensions();
    let Some(caller) = extensions.get::<Caller>() else {
        // The gate lets nobody pass without a word about who it is but where nobody is asked.
        let anyone = needed == Scopes::NONE || !door.access.is_demanded();
        let plain = || Visit::Plain(door.clone());
        return anyone.then(plain).ok_or_else(|| Problem::new(&kinds::UNAUTHORIZED, "a token is needed now"));
    };
    if !caller.scopes.allow(needed) {
        return Err(lacking(needed));
    }
    if caller.is_plain() {
        return Ok(Visit::Plain(door.clone()));
    }
    let viewed = door.platform.viewed(caller.view);
    let platform = match caller.label() {
        Some(token) => viewed.shown(token),
        None => viewed,
    };
    let pass = Pass::of(&door.access, caller);
    Ok(Visit::Own(Box::new(Door { platform, pass, access: Arc::clone(&door.access), ..Door::clone(door) })))
}

fn lacking(needed: Scopes) -> Problem {
    let words: Vec<&str> = needed.iter().map(Scope::as_str).collect();
    let detail = format!("the token lacks the scope `{}`", words.join("` or `"));
    Problem::new(&kinds::MISSING_SCOPE, detail)
}
