//! Names of things: jobs, nodes, attempts and the three fencing numbers. It refuses to know how they are minted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The sixteen bytes, most significant first: the order of bytes is the order of ids.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Rebuilds an id from its sixteen bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A job, named by a UUIDv7: ids sort by creation.
    JobId
);
uuid_id!(
    /// A node, stable across its restarts.
    NodeId
);
uuid_id!(
    /// A database of jobs. A node that belongs to another cluster is refused before anything is touched.
    ClusterId
);

macro_rules! fencing_number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

fencing_number!(
    /// Fences attempts of one job: minted in the commit that leases it, never reused.
    Epoch, u32
);
fencing_number!(
    /// Fences lives of one node: minted each time the node registers.
    Incarnation, u64
);
fencing_number!(
    /// Fences coordinators: minted each time one takes the lead.
    Term, u64
);

/// One attempt at one job. Everything said to or by a runner names this pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The job that is attempted.
    pub job: JobId,
    /// Which attempt at it.
    pub epoch: Epoch,
}

impl AttemptId {
    /// Names attempt `epoch` at `job`.
    pub fn new(job: JobId, epoch: Epoch) -> Self {
        Self { job, epoch }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.epoch)
    }
}

impl FromStr for AttemptId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (job, epoch) = text.rsplit_once('.').ok_or("an attempt is written JOB.EPOCH")?;
        Ok(Self {
            job: job.parse().map_err(|error| format!("{error}"))?,
            epoch: Epoch(epoch.parse().map_err(|error| format!("{error}"))?),
        })
    }
}
