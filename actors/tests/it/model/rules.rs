//! Admission rules: what each matcher fits, that the first rule decides, and what is refused as a rule.

use callboard_actors::model::access::TokenLabel;
use callboard_actors::model::limits::{
    MAX_RULE_NAME_BYTES, MAX_RULE_REASON_BYTES, MAX_RULE_WORD_BYTES, MAX_RULE_WORDS, MAX_RULES,
};
use callboard_actors::model::rules::{Action, Asker, Rule, RuleError, RuleFault};
use callboard_actors::model::{AdmissionRules, CommandLine, Denial, JobSpec, Tenant};
use proptest::prelude::*;

fn some(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

fn deny() -> Rule {
    Rule::new(Action::Deny, "because")
}

fn anyone() -> Asker<'static> {
    Asker::default()
}

fn fits(rule: &Rule, spec: &JobSpec) -> bool {
    fits_of(rule, anyone(), spec)
}

/// Whether a rule fits a job of this asker, seen by what becomes of the job.
fn fits_of(rule: &Rule, asker: Asker<'_>, spec: &JobSpec) -> bool {
    let denied = |action, default| {
        let rule = Rule { action, ..rule.clone() };
        AdmissionRules::new(default, [rule]).expect("the rule is one").judge(asker, spec).is_err()
    };
    let fits = denied(Action::Deny, Action::Allow);
    assert_eq!(fits, !denied(Action::Allow, Action::Deny), "{rule:?} on {spec:?}");
    fits
}

fn table(cases: &[(Rule, JobSpec, bool)]) {
    for (rule, spec, expected) in cases {
        assert_eq!(fits(rule, spec), *expected, "{rule:?} on {spec:?}");
    }
}

#[test]
fn commands_are_searched_in_the_line_as_it_is_shown() {
    let rule = |patterns: &[&str]| Rule { commands: some(patterns), ..deny() };
    table(&[
        (rule(&["mkfs"]), JobSpec::shell("echo hi; mkfs.ext4 x"), true),
        (rule(&["^mkfs"]), JobSpec::shell("echo hi; mkfs.ext4 x"), false),
        (rule(&["nothing", "^echo "]), JobSpec::argv(["echo", "a b"]), true),
        (rule(&["'a b'$"]), JobSpec::argv(["echo", "a b"]), true),
        (rule(&["^git (clone|fetch) [a-z]{1,9}$"]), JobSpec::argv(["git", "fetch", "origin"]), true),
        (rule(&["^git (clone|fetch) [a-z]{1,9}$"]), JobSpec::shell("git fetch origin\nrm -r x"), false),
        (rule(&["(?i)MKFS"]), JobSpec::shell("mkfs"), true),
        (rule(&[r"\bsudo\b"]), JobSpec::shell("pseudosudo"), false),
    ]);
}

#[test]
fn programs_are_names_or_whole_paths_and_a_shell_line_is_the_shell() {
    let rule = |programs: &[&str]| Rule { programs: some(programs), ..deny() };
    table(&[
        (rule(&["git"]), JobSpec::argv(["git", "fetch"]), true),
        (rule(&["git"]), JobSpec::argv(["/opt/bin/git"]), true),
        (rule(&["git"]), JobSpec::argv(["gitk"]), false),
        (rule(&["git"]), JobSpec::argv(["env", "git"]), false),
        (rule(&["/usr/bin/git"]), JobSpec::argv(["/usr/bin/git"]), true),
        (rule(&["/usr/bin/git"]), JobSpec::argv(["git"]), false),
        (rule(&["/usr/bin/git"]), JobSpec::argv(["/opt/usr/bin/git"]), false),
        (rule(&["ls", "sh"]), JobSpec::shell("git fetch"), true),
        (rule(&["/bin/sh"]), JobSpec::shell("git fetch"), true),
        (rule(&["git"]), JobSpec::shell("git fetch"), false),
        (rule(&["git"]), JobSpec::argv(Vec::<String>::new()), false),
        (rule(&["python*"]), JobSpec::argv(["python3.13", "x.py"]), true),
        (rule(&["python*"]), JobSpec::argv(["/usr/bin/python"]), true),
        (rule(&["python*"]), JobSpec::argv(["/opt/python/ruby"]), false),
        (rule(&["python*"]), JobSpec::argv(["cpython"]), false),
        (rule(&["python?.1"]), JobSpec::argv(["python3.1"]), true),
        (rule(&["python?.1"]), JobSpec::argv(["python3x1"]), false),
        (rule(&["/usr/bin/*"]), JobSpec::argv(["/usr/bin/git"]), true),
        (rule(&["/usr/bin/*"]), JobSpec::argv(["/usr/bin/../../tmp/x"]), false),
        (rule(&["/usr/*/git"]), JobSpec::argv(["/usr/local/bin/git"]), false),
        (rule(&["g+(i)t"]), JobSpec::argv(["g+(i)t"]), true),
        (rule(&["g+(i)t"]), JobSpec::argv(["git"]), false),
        (rule(&["é?"]), JobSpec::argv(["éé"]), true),
        (rule(&["*"]), JobSpec::argv(["a\nb"]), true),
    ]);
}

#[test]
fn shell_variables_and_folders_are_told_apart() {
    let env = |globs: &[&str]| Rule { env: some(globs), ..deny() };
    let set = |name: &str| {
        let mut spec = JobSpec::shell("true");
        spec.env.insert("OTHER".into(), "x".into());
        spec.env.insert(name.into(), "LD_PRELOAD".into());
        spec
    };
    let cwd = |folders: &[&str]| Rule { cwd: some(folders), ..deny() };
    let at = |folder: &str| JobSpec { cwd: Some(folder.into()), ..JobSpec::shell("true") };
    table(&[
        (Rule { shell: Some(true), ..deny() }, JobSpec::shell("true"), true),
        (Rule { shell: Some(false), ..deny() }, JobSpec::shell("true"), false),
        (Rule { shell: Some(false), ..deny() }, JobSpec::argv(["true"]), true),
        (env(&["LD_*"]), set("LD_PRELOAD"), true),
        (env(&["LD_*"]), set("LD_"), true),
        (env(&["LD_*"]), set("OLD_WAYS"), false),
        (env(&["LD_*"]), set("ld_preload"), false),
        (env(&["X", "P?TH"]), set("PATH"), true),
        (env(&["P?TH"]), set("PTH"), false),
        (env(&["*"]), JobSpec::shell("true"), false),
        (cwd(&["/srv"]), at("/srv"), true),
        (cwd(&["/srv/"]), at("/srv/a//b/"), true),
        (cwd(&["/srv"]), at("/srv-old"), false),
        (cwd(&["/srv"]), at("/srv/../etc"), false),
        (cwd(&["/etc", "/root"]), at("/srv/./../../etc/x"), true),
        (cwd(&["/"]), at("/anywhere"), true),
        (cwd(&["/"]), JobSpec::shell("true"), false),
    ]);
}

#[test]
fn who_asks_is_a_tenant_and_a_token_by_its_id_or_its_name() {
    let label =
        |name: Option<&str>| TokenLabel { id: "0123456789abcdef".into(), name: name.map(str::to_owned) };
    let (nightly, nameless) = (label(Some("ci nightly")), label(None));
    let tenants = |globs: &[&str]| Rule { tenants: some(globs), ..deny() };
    let tokens = |globs: &[&str]| Rule { tokens: some(globs), ..deny() };
    let of = |tenant: &str, token| Asker { tenant: Tenant::named(tenant).unwrap(), token };
    let cases = [
        (tenants(&["ml"]), of("ml", None), true),
        (tenants(&["ml"]), of("ml-2", None), false),
        (tenants(&["ml"]), anyone(), false),
        (tenants(&["ml-*"]), of("ml-2", Some(&nameless)), true),
        (tenants(&["m?"]), of("ml-2", None), false),
        (tenants(&["x", "default"]), anyone(), true),
        (tokens(&["0123456789abcdef"]), of("ml", Some(&nightly)), true),
        (tokens(&["0123*"]), of("ml", Some(&nameless)), true),
        (tokens(&["ci *"]), of("ml", Some(&nightly)), true),
        (tokens(&["ci"]), of("ml", Some(&nightly)), false),
        (tokens(&["ci *"]), of("ml", Some(&nameless)), false),
        (tokens(&["ci.nightly"]), of("ml", Some(&nightly)), false),
        (tokens(&["*"]), of("ml", None), false),
        (Rule { tenants: some(&["web"]), ..tokens(&["*"]) }, of("ml", Some(&nightly)), false),
        (Rule { tenants: some(&["web"]), ..tokens(&["*"]) }, of("web", Some(&nightly)), true),
    ];
    for (rule, asker, expected) in cases {
        assert_eq!(fits_of(&rule, asker, &JobSpec::shell("true")), expected, "{rule:?} for {asker:?}");
    }
}

#[test]
fn a_tenant_may_be_held_to_some_programs_while_others_are_free() {
    let python =
        Rule { tenants: some(&["ml"]), programs: some(&["python*"]), ..Rule::new(Action::Allow, "its work") };
    let nothing_else = Rule { name: Some("ml-is-python".into()), tenants: some(&["ml"]), ..deny() };
    let rules = AdmissionRules::new(Action::Allow, [python, nothing_else]).unwrap();
    let ml = Asker { tenant: Tenant::named("ml").unwrap(), token: None };
    assert_eq!(rules.judge(ml, &JobSpec::argv(["python3", "train.py"])), Ok(()));
    let denial = rules.judge(ml, &JobSpec::shell("python3 train.py")).unwrap_err();
    assert_eq!(denial.to_string(), "admission rule 2 (ml-is-python) refuses this job: because");
    assert_eq!(rules.judge(anyone(), &JobSpec::shell("python3 train.py")), Ok(()));
}

#[test]
fn all_that_a_rule_names_must_fit_and_one_that_names_nothing_fits_all() {
    let rule = Rule { programs: some(&["git"]), commands: some(&["push"]), ..deny() };
    table(&[
        (rule.clone(), JobSpec::argv(["git", "push"]), true),
        (rule.clone(), JobSpec::argv(["git", "pull"]), false),
        (rule, JobSpec::argv(["echo", "push"]), false),
        (deny(), JobSpec::shell("anything"), true),
    ]);
}

#[test]
fn a_denial_names_the_rule_and_its_reason() {
    let allow = Rule { programs: some(&["git"]), ..Rule::new(Action::Allow, "fine") };
    let named = Rule { name: Some("no-preload".into()), env: some(&["LD_*"]), ..deny() };
    let rules = AdmissionRules::new(Action::Deny, [allow, named, deny()]).unwrap();
    let mut spec = JobSpec::argv(["echo"]);
    assert_eq!(
        rules.judge(anyone(), &spec).unwrap_err().to_string(),
        "admission rule 3 refuses this job: because"
    );
    spec.env.insert("LD_PRELOAD".into(), "x".into());
    let denial = rules.judge(anyone(), &spec).unwrap_err();
    assert_eq!(denial.to_string(), "admission rule 2 (no-preload) refuses this job: because");
    spec.command = CommandLine::Argv(vec!["git".into()]);
    assert_eq!(rules.judge(anyone(), &spec), Ok(()), "the first rule that fits decides");
    let none = AdmissionRules::new(Action::Deny, []).unwrap();
    assert_eq!(none.judge(anyone(), &spec), Err(Denial::Default));
    assert!(!none.allow_all() && AdmissionRules::default().allow_all());
}

#[test]
fn what_means_nothing_is_no_rule() {
    let long = "x".repeat(MAX_RULE_WORD_BYTES + 1);
    let many = vec!["x".to_owned(); MAX_RULE_WORDS + 1];
    // Each of them may stand alone; only all of them together take too much.
    let heavy: Vec<String> = (0..MAX_RULE_WORDS).map(|n| format!(r"{n}\w{{9}}x")).collect();
    let cases: [(Rule, &str); 26] = [
        (Rule::new(Action::Deny, ""), "`reason`"),
        (Rule::new(Action::Deny, "a\nb"), "`reason`"),
        (Rule::new(Action::Deny, "x".repeat(MAX_RULE_REASON_BYTES + 1)), "`reason`"),
        (Rule { name: Some(String::new()), ..deny() }, "`name`"),
        (Rule { name: Some("x".repeat(MAX_RULE_NAME_BYTES + 1)), ..deny() }, "`name`"),
        (Rule { name: Some("\u{1b}[2J".into()), ..deny() }, "`name`"),
        (Rule { commands: some(&[]), ..deny() }, "`commands` is empty"),
        (Rule { env: some(&[]), ..deny() }, "`env` is empty"),
        (
            Rule { commands: some(&["fine", "("]), ..deny() },
            "`(` is not a regular expression: unclosed group",
        ),
        (Rule { commands: some(&["(?=x)"]), ..deny() }, "look-around"),
        (Rule { commands: some(&[r"\w{500}{500}"]), ..deny() }, "once compiled"),
        (Rule { commands: Some(heavy), ..deny() }, "once compiled"),
        (Rule { commands: Some(vec![long.clone()]), ..deny() }, "at most 1024 bytes"),
        (Rule { programs: Some(many), ..deny() }, "at most 64 entries"),
        (Rule { programs: some(&[""]), ..deny() }, "no program"),
        (Rule { programs: some(&["/bin/"]), ..deny() }, "no program"),
        (Rule { tenants: some(&[]), ..deny() }, "`tenants` is empty"),
        (Rule { tenants: some(&["ML"]), ..deny() }, "fits no tenant"),
        (Rule { tenants: some(&["a.b"]), ..deny() }, "fits no tenant"),
        (Rule { tokens: some(&[]), ..deny() }, "`tokens` is empty"),
        (Rule { tokens: some(&[""]), ..deny() }, "fits no token"),
        (Rule { tokens: some(&["a\nb"]), ..deny() }, "fits no token"),
        (Rule { env: some(&["LD-*"]), ..deny() }, "fits no variable"),
        (Rule { env: some(&["[A-Z]"]), ..deny() }, "fits no variable"),
        (Rule { cwd: some(&["srv"]), ..deny() }, "no absolute folder"),
        (Rule { cwd: Some(vec![format!("/{long}")]), ..deny() }, "at most 1024 bytes"),
    ];
    for (rule, why) in cases {
        let error = AdmissionRules::new(Action::Allow, [deny(), rule]).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("admission rule 2: ") && shown.contains(why), "{why}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(shown.len() < 1200, "{shown}");
    }
    let most = vec![deny(); MAX_RULES];
    assert!(AdmissionRules::new(Action::Allow, most.clone()).is_ok());
    let more = most.into_iter().chain([deny()]);
    assert_eq!(AdmissionRules::new(Action::Allow, more).unwrap_err(), RuleError::TooMany);
}

/// Words that have a meaning somewhere, and some that have none.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "git",
            "sh",
            "/bin/sh",
            "/srv",
            "/srv/..",
            "LD_*",
            "LD_PRELOAD",
            "^git",
            "(",
            "a{1,3}",
            "[",
            "*",
            "",
        ])
        .prop_map(str::to_owned),
        ".{0,12}",
    ]
}

fn words() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::weighted(0.4, prop::collection::vec(word(), 0..3))
}

prop_compose! {
    fn rule()(
        allow in any::<bool>(), name in prop::option::of(word()), shell in prop::option::of(any::<bool>()),
        commands in words(), programs in words(), env in words(), cwd in words(),
        tenants in words(), tokens in words(),
    ) -> Rule {
        let action = if allow { Action::Allow } else { Action::Deny };
        Rule { name, shell, commands, programs, env, cwd, tenants, tokens, ..Rule::new(action, "because") }
    }
}

prop_compose! {
    fn spec()(
        line in prop_oneof![word().prop_map(CommandLine::Shell),
            prop::collection::vec(word(), 0..4).prop_map(CommandLine::Argv)],
        env in prop::collection::btree_map(word(), word(), 0..3), cwd in prop::option::of(word()),
    ) -> JobSpec {
        JobSpec { env, cwd, ..JobSpec::new(line) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_first_rule_that_fits_decides_and_the_default_decides_otherwise(
        rules in prop::collection::vec(rule(), 0..6), deny_others in any::<bool>(), spec in spec(),
    ) {
        // Whatever is no rule is refused in words and without a panic; with the others it goes on.
        let sound: Vec<Rule> = rules
            .into_iter()
            .filter(|rule| match AdmissionRules::new(Action::Allow, [rule.clone()]) {
                Ok(_) => true,
                Err(RuleError::Rule { number: 1, fault }) => fault.to_string().is_empty(),
                Err(RuleError::TooMany) => unreachable!("one is not too many"),
                Err(other) => unreachable!("{other}"),
            })
            .collect();
        let default = if deny_others { Action::Deny } else { Action::Allow };
        let expected = sound.iter().position(|rule| fits(rule, &spec));
        let action = expected.map_or(default, |at| sound[at].action);
        let judged = AdmissionRules::new(default, sound).unwrap().judge(anyone(), &spec);
        match (action, expected) {
            (Action::Allow, _) => prop_assert_eq!(judged, Ok(())),
            (Action::Deny, None) => prop_assert_eq!(judged, Err(Denial::Default)),
            (Action::Deny, Some(at)) => {
                let named = matches!(judged, Err(Denial::Rule { number, .. }) if number == at + 1);
                prop_assert!(named, "rule {} should deny: {judged:?}", at + 1);
            }
        }
    }
}

#[test]
fn a_fault_is_told_by_its_type() {
    let bad = Rule { env: some(&["A-B"]), ..deny() };
    let error = AdmissionRules::new(Action::Allow, [bad]).unwrap_err();
    assert_eq!(error, RuleError::Rule { number: 1, fault: RuleFault::Variable("A-B".into()) });
}
