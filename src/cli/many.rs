//! One act on each of several jobs. What fails is said at once and does not keep the others from their turn.

use super::client::{Client, named, path_safe};
use super::exit::{Failure, NO_ANSWER, NOT_ALLOWED};

/// What came of it.
#[derive(Debug)]
pub struct Many<T> {
    /// What was done, in the order asked for.
    pub done: Vec<T>,
    /// For how many jobs it was asked.
    pub asked: usize,
    /// 0, or the worst exit code of what failed: the highest.
    pub code: i32,
}

/// Acts on each job by its id. The failure of an only job is the whole's; of several each is reported by its name.
pub async fn each<T>(
    client: &Client,
    ids: &[String],
    mut act: impl AsyncFnMut(&str) -> Result<T, Failure>,
) -> Result<Many<T>, Failure> {
    let mut many = Many { done: Vec::new(), asked: ids.len(), code: 0 };
    for id in ids {
        let acted = match resolve(client, id).await {
            Ok(id) => act(&id).await,
            Err(failure) => Err(failure),
        };
        match acted {
            Ok(done) => many.done.push(done),
            Err(failure) if ids.len() == 1 => return Err(failure),
            Err(failure) => {
                let message = format!("{}: {}", named(id), failure.message);
                let code = Failure::new(failure.code, message).report();
                many.code = many.code.max(code);
                // It would say the same to the next one.
                if matches!(code, NO_ANSWER | NOT_ALLOWED) {
                    break;
                }
            }
        }
    }
    Ok(many)
}

/// The id that the server takes: as written, or of the newest job for `last`.
pub async fn resolve(client: &Client, id: &str) -> Result<String, Failure> {
    if id != "last" {
        return path_safe(id).map(str::to_owned);
    }
    let newest = client.list("limit=1").await?.items.into_iter().next();
    newest.map(|job| job.id).ok_or_else(|| Failure::new(3, "there is no job yet"))
}
