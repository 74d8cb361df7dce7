//! `token`: making, listing and revoking the tokens of a server. A token is printed once, or written to a new file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use comfy_table::{Table, presets};
use serde_json::json;

use super::args::{CreateTokenArgs, Global, Token};
use super::client::{Client, named};
use super::commands::{heard, print, print_json, put};
use super::exit::{Failure, NO_ANSWER, NOT_ALLOWED};
use super::render::json_line;
use super::style::plain;
use crate::http::api::{TokenBody, TokenMade, TokenWanted};

type Outcome = Result<i32, Failure>;

/// Does what was said.
pub async fn token(verb: &Token, client: &Client, global: &Global) -> Outcome {
    match verb {
        Token::Create(args) => create(args, client, global).await,
        Token::List => list(client, global).await,
        Token::Revoke { ids } => revoke(ids, client, global).await,
    }
}

async fn create(args: &CreateTokenArgs, client: &Client, global: &Global) -> Outcome {
    // First the file: a token that cannot be written would be lost, and still open the door.
    let mut out = args.out.as_deref().map(new_file).transpose()?;
    let wanted = TokenWanted {
        name: args.name.clone(),
        tenant: args.tenant.clone(),
        role: args.role.clone(),
        scopes: args.scope.clone(),
        expires_in_ms: args.expires,
    };
    let made = client.create_token(&wanted).await;
    let (Some(path), Some(file)) = (&args.out, &mut out) else {
        let made = made?;
        let text = if global.json { json_line(&made)? } else { plain(&made.token) + "\n" };
        return match heard(&text) {
            Ok(true) => Ok(0),
            // Nobody has it, and it would still open the door.
            Ok(false) => Err(lost(client, &made, "standard output: its reader is gone").await),
            Err(failure) => Err(lost(client, &made, &failure.message).await),
        };
    };
    let made = made.inspect_err(|_| discard(path))?;
    let written = writeln!(file, "{}", made.token).and_then(|()| file.sync_all());
    if let Err(error) = written {
        return Err(lost(client, &made, &format!("{}: {error}", path.display())).await);
    }
    let kept = format!("Token {} is in {}", plain(&made.about.id), path.display());
    let said = match (global.json, global.quiet) {
        (true, _) => print_json(&made.about),
        (_, true) => print(&plain(&made.about.id)),
        _ => print(&kept),
    };
    said.map(|()| 0).map_err(|failure| failure.with(&kept))
}

/// Revokes a token that nobody has got, and says which it was.
async fn lost(client: &Client, made: &TokenMade, why: &str) -> Failure {
    let id = &made.about.id;
    let state = match client.revoke_token(id).await {
        Ok(()) => "it is revoked".to_owned(),
        // The first one: without it nobody comes in any more.
        Err(failure) if failure.code == NOT_ALLOWED => {
            format!(
                "`callboard token revoke {id}` does it with an admin's token, or the one of `serve --token-file`"
            )
        }
        Err(_) => format!("revoke it with `callboard token revoke {id}`"),
    };
    Failure::new(1, format!("{why}: token {id} could not be written, {state}"))
}

/// Nothing that is there is written over.
fn new_file(path: &Path) -> Result<File, Failure> {
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| {
        Failure::new(1, format!("{}: {error}: --out names a file that is not there yet", path.display()))
    })
}

/// The file that we made and have nothing to write into.
fn discard(path: &Path) {
    // If it stays it is empty.
    let _ = std::fs::remove_file(path);
}

async fn list(client: &Client, global: &Global) -> Outcome {
    let tokens = client.tokens().await?.items;
    match (global.json, global.quiet) {
        (true, _) => print_json(&tokens)?,
        (_, true) => put(&tokens.iter().map(|token| plain(&token.id) + "\n").collect::<String>())?,
        _ => print(&table(&tokens))?,
    }
    Ok(0)
}

fn table(tokens: &[TokenBody]) -> String {
    let word = |text: &Option<String>| plain(text.as_deref().unwrap_or("-"));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "NAME", "TENANT", "SCOPES", "STATUS", "EXPIRES", "LAST USED"]);
    for token in tokens {
        table.add_row([
            plain(&token.id),
            word(&token.name),
            plain(&token.tenant),
            plain(&token.scopes.join(",")),
            plain(&token.status),
            word(&token.expires_at),
            word(&token.last_used_at),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Each of them; what fails is said and does not keep the others from their turn.
async fn revoke(ids: &[String], client: &Client, global: &Global) -> Outcome {
    let (mut revoked, mut code) = (Vec::new(), 0);
    for id in ids {
        match client.revoke_token(id).await {
            Ok(()) => revoked.push(id),
            Err(failure) if ids.len() == 1 => return Err(failure),
            Err(failure) => {
                let message = format!("{}: {}", named(id), failure.message);
                code = code.max(Failure::new(failure.code, message).report());
                // It would say the same to the next one.
                if matches!(failure.code, NO_ANSWER | NOT_ALLOWED) {
                    break;
                }
            }
        }
    }
    let object = |id: &&String| json!({ "id": id, "revoked": true });
    match (global.json, global.quiet, revoked.as_slice()) {
        (true, _, [id]) if ids.len() == 1 => print_json(&object(id))?,
        (true, _, revoked) => print_json(&revoked.iter().map(object).collect::<Vec<_>>())?,
        (_, true, revoked) => put(&revoked.iter().map(|id| plain(id) + "\n").collect::<String>())?,
        (_, _, revoked) => print(&format!("Revoked {} of {} tokens", revoked.len(), ids.len()))?,
    }
    Ok(code)
}
