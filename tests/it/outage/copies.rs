//! Copies of refresh tokens, and tokens on two nodes of which one is cut off.

use countersign::domain::session::Ended;

use super::{Deployment, Engine, MINUTE, Reach, SECOND, is_degraded, on_both_stores};

on_both_stores! {
    /// In an outage a superseded token buys tokens; its first use after it ends the session, and the device's next
    /// refresh is refused.
    a_thief_who_comes_first_after_the_outage_is_caught_at_once
    /// The device goes on, and the session ends when the thief comes back.
    a_thief_who_comes_second_is_caught_at_once
    /// A token that is used on both sides of a partition has one successor.
    a_node_that_is_cut_off_makes_no_second_generation
}

/// An outage in which a thief uses a token 47 behind 200 times; the copy and the device's token.
async fn stolen(site: &Deployment) -> (String, String) {
    let node = &site.nodes[0];
    let copy = node.session("u-1").await;
    let mut newest = copy.clone();
    for _ in 0..47 {
        site.pass(MINUTE).await;
        newest = node.refresh(&newest).await.ok().text("refresh_token");
    }
    site.pass(MINUTE).await;
    site.reach(Reach::OutOfReach);
    let mut thieves = copy.clone();
    for _ in 0..200 {
        let answer = node.refresh(&thieves).await;
        assert!(is_degraded(&answer));
        thieves = answer.text("refresh_token");
        assert_eq!(site.contents(&thieves).counter, 0, "the thief does not catch up");
    }
    assert!(is_degraded(&node.refresh(&newest).await));
    site.recover().await;
    (thieves, newest)
}

async fn a_thief_who_comes_first_after_the_outage_is_caught_at_once(engine: Engine) {
    let site = Deployment::on(engine, 1, "", "").await;
    let (copy, newest) = stolen(&site).await;
    site.nodes[0].refresh(&copy).await.problem(401, "invalid_token");
    assert_eq!(site.row(&copy).await.unwrap().ended, Some(Ended::Reused));
    site.nodes[0].refresh(&newest).await.problem(401, "invalid_token");
    assert_eq!(site.alarms("reuse"), 1.0);
}

async fn a_thief_who_comes_second_is_caught_at_once(engine: Engine) {
    let site = Deployment::on(engine, 1, "", "").await;
    let (copy, newest) = stolen(&site).await;
    let next = site.nodes[0].refresh(&newest).await;
    assert!(!is_degraded(&next));
    // Within ten seconds of a rotation an older token counts as delayed.
    site.pass(10 * SECOND).await;
    site.nodes[0].refresh(&copy).await.problem(401, "invalid_token");
    assert_eq!(site.row(&copy).await.unwrap().ended, Some(Ended::Reused));
    site.nodes[0].refresh(&next.text("refresh_token")).await.problem(401, "invalid_token");
}

async fn a_node_that_is_cut_off_makes_no_second_generation(engine: Engine) {
    let site = Deployment::on(engine, 2, "", "").await;
    let [reaches, cut_off] = [&site.nodes[0], &site.nodes[1]];
    let mut token = reaches.session("u-1").await;
    site.pass(SECOND).await;
    cut_off.switch.set(Reach::OutOfReach);
    for counter in 0..20 {
        let seen = site.contents(&token);
        assert_eq!(seen.counter, counter);
        let there = cut_off.refresh(&token).await;
        assert!(is_degraded(&there));
        let link = there.text("refresh_token");
        assert_eq!(site.contents(&link), seen);
        // What the other side sealed again is the same token here.
        let here = reaches.refresh(if counter % 2 == 0 { &link } else { &token }).await;
        assert!(!is_degraded(&here));
        token = here.text("refresh_token");
        assert_eq!(site.contents(&token).counter, counter + 1);
        // A second tab was on the other side, and is a little late.
        assert!(is_degraded(&cut_off.refresh(&link).await));
        let late = reaches.refresh(&link).await;
        assert_eq!(site.contents(&late.text("refresh_token")).counter, counter + 1, "one generation");
        site.pass(MINUTE).await;
    }
    cut_off.switch.set(Reach::Reachable);
    site.pass(2 * SECOND).await;
    assert!(!is_degraded(&cut_off.refresh(&token).await));
    assert_eq!((site.alarms("reuse"), site.alarms("store_lost_writes")), (0.0, 0.0));
}
