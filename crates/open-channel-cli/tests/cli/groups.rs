//! `ls` and `top` show groups as groups, with their members.
#![cfg(unix)]

use serde_json::Value;

use crate::ls::{host, json};
use crate::program::{Place, Program};

fn start(place: &Place, args: &[&str], wanted: &str) -> Program {
    let mut program = place.start(&[&["-v"], args].concat());
    program.wait_for_error(wanted);
    program
}

fn member<'a>(group: &'a Value, program: &Program) -> &'a Value {
    let members = group["members"].as_array().expect("members");
    let found = members.iter().find(|member| member["pid"] == program.pid());
    found.unwrap_or_else(|| panic!("{} is missing in {group}", program.pid()))
}

#[test]
fn a_group_is_listed_with_all_that_its_members_do() {
    let place = Place::new();
    let reader = start(&place, &["sub", "log.>", "--group", "shop"], "subscribed");
    let server = start(&place, &["serve", "price", "--group", "shop", "--", "cat"], "serving");
    let worker =
        start(&place, &["queue", "work", "bake", "--group", "shop", "--", "cat"], "working");
    let mut holder = place.start(&[
        "lock",
        "till",
        "--group",
        "shop",
        "--",
        "sh",
        "-c",
        "echo held; exec sleep 60",
    ]);
    holder.wait_for_line("held");
    place.start(&["map", "set", "prices", "tea", "3", "--group", "shop"]).succeed();
    let _shop = host(&place, &[], "shop");

    let all = json(&place, &["shop"]);
    let listed = all["channels"].as_array().expect("what is listed");
    let kinds: Vec<&Value> = listed.iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds.len(), 2, "the channel and the group of that name: {all}");
    let group = &listed.iter().find(|one| one["kind"] == "group").expect("the group")["group"];
    assert_eq!((&group["serving"], &group["member_count"]), (&true.into(), &4.into()), "{group}");
    assert_eq!(group["map_keys"], 1);
    let reader = member(group, &reader);
    assert_eq!(reader["subscriptions"], serde_json::json!(["log.>"]));
    assert_eq!((&reader["program"], &reader["language"]), (&"open-channel".into(), &"rust".into()));
    assert_eq!(member(group, &server)["services"], serde_json::json!(["price"]));
    assert_eq!(member(group, &worker)["workers"], 1);
    assert_eq!(member(group, &holder)["locks_held"], 1);
    let lock = serde_json::json!({
        "name": "till", "kind": "lock", "waiting": 0, "holders": [member(group, &holder)["id"]],
    });
    assert_eq!(group["locks"], serde_json::json!([lock]));
    let queue = serde_json::json!({ "name": "bake", "workers": 1, "running": 0, "waiting": 0 });
    assert_eq!(group["queues"], serde_json::json!([queue]));

    let table = place.start(&["ls"]).succeed();
    let row = table.lines().find(|line| line.starts_with("shop  group  ")).unwrap_or("");
    assert!(row.contains("4 members"), "{table}");
    let text = place.start(&["ls", "shop"]).succeed();
    for wanted in [
        "\n  kind              group\n",
        "\n  members           4\n",
        "\n  maps              1 keys (",
        "log.>",
        "price",
        "1 held",
        "till  lock  open-channel (",
        "bake   1        0        0",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn a_group_whose_host_dies_is_shown_with_the_next_one() {
    let place = Place::new();
    let mut first = start(&place, &["sub", "log.>"], "subscribed");
    let second = start(&place, &["sub", "log.>"], "subscribed");
    first.kill();
    first.finish();
    // It is answered by whoever has heard all of the next host's.
    place.start(&["pub", "log.tea", "milk"]).succeed();
    let channel = &json(&place, &["shell"])["channels"][0];
    assert_eq!((&channel["pid"], &channel["generation"]), (&second.pid().into(), &2.into()));
    assert_eq!(member(&channel["group"], &second)["subscription_count"], 1);
}

#[test]
fn what_a_member_says_of_itself_cannot_steer_a_terminal() {
    let place = Place::new();
    let name = "a\x1b[2Jb";
    let _reader = start(&place, &["sub", ">", "--group", name], "subscribed");
    let _server = start(&place, &["serve", "c\x1b]0;d", "--group", name, "--", "cat"], "serving");
    let text = place.start(&["ls", name]).succeed();
    assert!(!text.contains('\x1b') && text.contains(r"c\u{1b}]0;d"), "{text}");
    assert!(place.start(&["ls"]).succeed().contains(r"a\u{1b}[2Jb  group"));
}
