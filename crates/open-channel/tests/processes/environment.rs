//! The environment decides which programs meet, for users that cannot change the program.

use crate::stage::{Actor, Stage, opening};

const APP: &str = "OPEN_CHANNEL_APP";
const SCOPE: &str = "OPEN_CHANNEL_SCOPE";

/// Settings and environment of one process.
type Member = (&'static str, &'static [(&'static str, &'static str)]);

fn joined(stage: &Stage, settings: &str, environment: &[(&str, &str)]) -> (Actor, String) {
    let actor = stage.actor_with(format!("{settings} {environment:?}"), environment);
    actor.open(settings);
    let role = actor.ask("join", "joined").word(1).to_owned();
    (actor, role)
}

pub(crate) fn the_environment_names_the_application_and_a_setting_goes_before_it(
    stage: &mut Stage,
) {
    // The first of each group hosts, the others find it.
    let groups: [&[Member]; 3] = [
        &[
            ("app=shop", &[]),
            ("", &[(APP, "shop")]),
            ("", &[(APP, "shop"), (SCOPE, "app")]),
            ("app=shop", &[(APP, "market"), (SCOPE, "user")]),
        ],
        &[("", &[]), ("", &[(SCOPE, "user"), (APP, "shop")]), ("", &[(SCOPE, ""), (APP, "")])],
        &[("app=market", &[]), ("", &[(APP, "market")])],
    ];
    let mut actors = Vec::new();
    for group in groups {
        for (place, (settings, environment)) in group.iter().enumerate() {
            let (actor, role) = joined(stage, settings, environment);
            assert_eq!(
                role,
                if place == 0 { "host" } else { "peer" },
                "{settings} {environment:?}"
            );
            actors.push(actor);
        }
    }
}

pub(crate) fn an_environment_that_makes_no_sense_is_refused_and_named(stage: &mut Stage) {
    for (environment, named) in [
        (&[(SCOPE, "everybody")][..], "`OPEN_CHANNEL_SCOPE` is neither `user` nor `app`"),
        (&[(SCOPE, "app")], "set OPEN_CHANNEL_APP"),
    ] {
        let actor = stage.actor_with("refused", environment);
        let error = actor.ask(&opening(""), "error open").text;
        assert!(error.contains(named), "{error}");
        // The program's own setting goes before it.
        actor.open("app=shop");
    }
}

pub(crate) fn a_timeout_names_the_application_and_what_to_do(stage: &mut Stage) {
    let (_host, _) = joined(stage, "app=market", &[]);
    let (peer, socket) = (stage.actor("peer"), stage.actor("socket"));
    for actor in [&peer, &socket] {
        actor.open("app=shop role=peer connect_timeout=300");
    }
    socket.tell("connect s");
    for error in [peer.ask("join", "error join"), socket.wait("error recv s")] {
        for part in ["in the application \"shop\"", "Scope::User", "Scope::App", "OPEN_CHANNEL_APP"]
        {
            assert!(error.text.contains(part), "{error:?}");
        }
    }
    let lonely = stage.actor("lonely");
    lonely.open("role=peer connect_timeout=300");
    let error = lonely.ask("join", "error join").text;
    assert!(error.contains("no process hosts it") && !error.contains("application"), "{error}");
}
