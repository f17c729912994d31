//! Ends of long before, and ends that are asked for in an outage.

use countersign::{clock::Clock, domain::session::Ended, operate::UserError};

use super::{DAY, Deployment, Engine, Reach, SECOND, is_degraded, on_both_stores};
use crate::support::domain::actor;
use crate::support::{Answer, domain::user};

on_both_stores! {
    /// They are refused by a node that followed them, and by one that started since.
    what_ended_eight_days_before_is_refused
    /// They are refused, and so not promised; asked for again they hold.
    revocations_in_the_outage_are_not_promised
    /// An end that every node knows holds at once on one that is cut off then.
    a_node_that_is_cut_off_after_an_end_holds_it
    /// An opt-out that was removed before the outage binds no more.
    a_user_who_was_opted_in_again_is_served
}

/// Checks that nothing is given for this refresh token.
#[track_caller]
fn assert_refused(answer: &Answer, may_be_unsure: bool) {
    let refused = [401, 403].contains(&answer.status) || (may_be_unsure && answer.status == 503);
    assert!(refused, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
}

async fn what_ended_eight_days_before_is_refused(engine: Engine) {
    let mut site = Deployment::on(engine, 1, "max_sessions_per_user = 1", "").await;
    let node = &site.nodes[0];
    let mut ended = Vec::new();
    for name in ["revoked", "logged-out", "opted-out", "evicted", "session"] {
        ended.push(node.session(name).await);
    }
    let live = node.session("live").await;
    site.pass(SECOND).await;
    let users = node.operator.users();
    users.revoke(&user("revoked"), None).await.unwrap();
    node.revoke(&ended[1]).await.ok();
    users.opt_out(&user("opted-out"), None).await.unwrap();
    node.session("evicted").await;
    users.revoke_session(site.contents(&ended[4]).session).await.unwrap();
    site.pass_days(8).await;
    site.start_another().await;
    site.tick().await;
    site.reach(Reach::OutOfReach);
    site.pass(SECOND).await;
    for (at, node) in site.nodes.iter().enumerate() {
        for token in &ended {
            // Of what ended before it started, a node has filters: it is not sure.
            assert_refused(&node.refresh(token).await, at == 1);
        }
        assert!(is_degraded(&node.refresh(&live).await));
    }
}

async fn revocations_in_the_outage_are_not_promised(engine: Engine) {
    let site = Deployment::on(engine, 1, "", "").await;
    let node = &site.nodes[0];
    let token = node.session("u-1").await;
    site.reach(Reach::OutOfReach);
    site.pass(SECOND).await;
    node.revoke(&token).await.problem(503, "unavailable");
    let users = node.operator.users();
    let refused = users.revoke(&user("u-1"), None).await.err().unwrap();
    assert!(matches!(&refused, UserError::Store(error) if error.is_outage()), "{refused}");
    assert!(users.opt_out(&user("u-1"), None).await.is_err());
    assert!(users.revoke_everyone(None).await.is_err());
    assert!(is_degraded(&node.refresh(&token).await), "it was not promised");
    site.recover().await;
    let token = node.refresh(&token).await.ok().text("refresh_token");
    node.revoke(&token).await.ok();
    node.refresh(&token).await.problem(401, "invalid_token");
}

async fn a_node_that_is_cut_off_after_an_end_holds_it(engine: Engine) {
    let site = Deployment::on(engine, 2, "", "").await;
    let [reaches, cut_off] = [&site.nodes[0], &site.nodes[1]];
    let mut tokens = Vec::new();
    for n in 0..4 {
        tokens.push(reaches.session(&format!("u-{n}")).await);
    }
    // A login long before: a second of difference between two clocks decides nothing.
    site.pass(DAY).await;
    reaches.operator.users().revoke(&user("u-0"), None).await.unwrap();
    reaches.operator.users().opt_out(&user("u-1"), Some(&"web".parse().unwrap())).await.unwrap();
    reaches
        .switch
        .store()
        .end_session(site.contents(&tokens[2]).session, Ended::Logout, reaches.clock.now(), &actor())
        .await
        .unwrap();
    site.pass(SECOND).await;
    cut_off.switch.set(Reach::OutOfReach);
    site.pass(SECOND).await;
    for token in &tokens[..3] {
        assert_refused(&cut_off.refresh(token).await, false);
    }
    assert!(is_degraded(&cut_off.refresh(&tokens[3]).await));
    // An end that it cannot know is found once the store is back.
    reaches.operator.users().revoke_everyone(Some(&"web".parse().unwrap())).await.unwrap();
    assert!(is_degraded(&cut_off.refresh(&tokens[3]).await));
    cut_off.switch.set(Reach::Reachable);
    site.pass(SECOND).await;
    cut_off.refresh(&tokens[3]).await.problem(401, "invalid_token");
}

async fn a_user_who_was_opted_in_again_is_served(engine: Engine) {
    let site = Deployment::on(engine, 1, "", "").await;
    let node = &site.nodes[0];
    let token = node.session("u-1").await;
    let users = node.operator.users();
    users.opt_out(&user("u-1"), None).await.unwrap();
    site.pass(SECOND).await;
    node.refresh(&token).await.problem(403, "opted_out");
    users.opt_in(&user("u-1"), None).await.unwrap();
    site.pass(SECOND).await;
    site.reach(Reach::OutOfReach);
    assert!(is_degraded(&node.refresh(&token).await));
    assert!(is_degraded(&node.login("u-1").await));
}
