//! The answers of all members that serve something, as JavaScript has them.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Answers, MemberId};

use super::view::shown;

/// The result of a call to all.
#[napi(object)]
pub struct NativeAnswers {
    /// The members that answered.
    pub answered: Vec<Answered>,
    /// The members that are gone.
    pub died: Vec<String>,
    /// The members that had not answered in time.
    pub timed_out: Vec<String>,
}

/// One member's answer.
#[napi(object)]
pub struct Answered {
    /// The member.
    pub id: String,
    /// Its answer.
    pub data: Option<Buffer>,
    /// Why it failed, if it did.
    pub reason: Option<String>,
}

impl From<Answers> for NativeAnswers {
    fn from(answers: Answers) -> Self {
        let ids = |ids: Vec<MemberId>| ids.into_iter().map(shown).collect();
        let answered = answers.answered.into_iter().map(|(id, answer)| {
            let (data, reason) = match answer {
                Ok(bytes) => (Some(bytes.to_vec().into()), None),
                Err(reason) => (None, Some(reason)),
            };
            Answered { id: shown(id), data, reason }
        });
        Self {
            answered: answered.collect(),
            died: ids(answers.died),
            timed_out: ids(answers.timed_out),
        }
    }
}
