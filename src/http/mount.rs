//! Where this API stands on its server: what an embedding application put before our own paths. Links, addresses and
//! types of problems begin with it. It knows none of our paths.

use actix_web::dev::ServiceRequest;
use actix_web::{HttpMessage, HttpRequest};

/// Bytes of the request's path that stand before ours.
#[derive(Clone, Copy, Debug)]
struct MountBytes(usize);

/// Our part of the path of a request that has reached us, for example `/livez`.
pub fn below(request: &ServiceRequest) -> &str {
    request.match_info().unprocessed()
}

/// Notes what stands before our part: nobody knows it any more once a route of ours has matched.
pub fn note(request: &ServiceRequest) {
    let bytes = base_bytes(request.path(), below(request));
    if bytes > 0 {
        request.extensions_mut().insert(MountBytes(bytes));
    }
}

/// What stands before our part, for example `/jobs-api`; empty where nothing does.
pub fn base(request: &HttpRequest) -> &str {
    let bytes = request.extensions().get::<MountBytes>().map_or(0, |bytes| bytes.0);
    request.path().get(..bytes).unwrap_or_default()
}

/// How long `path` is without `below` at its end. `below` may be unescaped, which never makes or takes a slash.
fn base_bytes(path: &str, below: &str) -> usize {
    match below.matches('/').count() {
        0 if below.is_empty() => path.len(),
        0 => 0,
        slashes => path.rmatch_indices('/').nth(slashes - 1).map_or(0, |(at, _)| at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_what_is_not_below() {
        for (path, below, base) in [
            ("/v1/jobs", "/v1/jobs", ""),
            ("/", "/", ""),
            ("*", "*", ""),
            ("", "", ""),
            ("/jobs-api/v1/jobs", "/v1/jobs", "/jobs-api"),
            ("/v1/jobs/v1/jobs", "/v1/jobs", "/v1/jobs"),
            ("/jobs%2Dapi/%76%31/jobs", "/v1/jobs", "/jobs%2Dapi"),
            ("/a/b/", "/", "/a/b"),
            ("/a/b", "", "/a/b"),
            ("/a/%2F//x", "/%2F//x", "/a"),
        ] {
            assert_eq!(&path[..base_bytes(path, below)], base, "{path}");
        }
    }
}
