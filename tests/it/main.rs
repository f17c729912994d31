//! Everything that is tested from outside, in one binary: a file for each subject.
#![allow(unreachable_pub, missing_docs, reason = "nothing here is public")]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test speaks to its parent and cleans its environment"
)]
#![allow(clippy::float_cmp, reason = "counters are whole numbers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod activity;
mod alerts;
mod architecture;
mod audit;
mod audit_acts;
mod audit_checkpoints;
mod audit_kill;
#[cfg(feature = "sandbox")]
mod audit_stops;
mod audit_verify;
#[cfg(debug_assertions)]
mod background;
#[cfg(feature = "crypto-mb")]
mod batch;
#[cfg(feature = "sandbox")]
mod braze_rest;
mod cli;
mod cli_mistakes;
mod client_paths;
mod clock;
mod config;
mod config_messages;
mod console;
#[cfg(feature = "sandbox")]
mod console_charts;
mod custody;
mod custody_import;
mod custody_kept;
mod custody_memory;
mod custody_store;
mod db_copy;
mod db_restore;
mod dead_sessions;
mod degraded;
#[cfg(feature = "sandbox")]
mod demo;
#[cfg(feature = "sandbox")]
mod documents;
mod domain_api_key;
mod domain_claims_jws;
mod domain_ids;
mod domain_key;
mod domain_operator;
mod domain_refresh_token;
mod domain_session;
mod domain_session_races;
mod domain_session_theft;
mod domain_verdict;
mod exchange;
mod exchange_cors;
mod failure_counts;
mod failure_webhook;
mod failures;
mod failures_cli;
#[cfg(feature = "sandbox")]
mod failures_knowledge;
mod failures_matrix;
mod files;
mod generate;
mod identity;
mod issued_with;
mod key_places;
mod keyring;
mod killed_node;
mod limits;
mod links;
mod listener;
mod log_output;
mod messages;
mod middleware;
mod openapi;
mod operate_answers;
mod operator_faults;
mod operators_api;
mod operators_cli;
mod ops_hosts;
mod ops_socket;
mod outage;
mod outage_simulation;
mod overlap;
mod postgres_audit;
mod postgres_connect;
mod postgres_crash;
mod postgres_ends;
mod postgres_faults;
mod postgres_nodes;
mod postgres_outage;
mod postgres_plans;
mod postgres_server;
mod postgres_site;
mod postgres_versions;
mod postgres_writes;
mod proxies;
mod readiness;
mod refresh;
mod remote_commands;
mod request_log;
mod revocation;
mod revocation_nodes;
#[cfg(feature = "sandbox")]
mod rotate;
#[cfg(feature = "sandbox")]
mod rotate_by_hand;
#[cfg(feature = "sandbox")]
mod rotate_cli;
#[cfg(feature = "sandbox")]
mod rotate_kill;
#[cfg(feature = "sandbox")]
mod rotate_lag;
#[cfg(feature = "sandbox")]
mod rotate_load;
mod rotate_plan;
#[cfg(feature = "sandbox")]
mod runbook;
#[cfg(feature = "sandbox")]
mod sandbox_provider;
#[cfg(feature = "sandbox")]
mod sandbox_push;
#[cfg(feature = "sandbox")]
mod sandbox_rest;
#[cfg(feature = "sandbox")]
mod sandbox_sdk;
mod secrecy;
mod serve;
mod sign_in;
mod sign_in_claims;
mod sign_in_cli;
mod sign_in_config;
mod sign_in_fetch;
mod sign_in_forged;
mod sign_in_keys;
mod sign_in_opaque;
mod sign_in_presets;
mod sign_out;
mod start_faults;
mod start_without_store;
mod store;
mod store_lost;
mod store_settings;
mod store_sqlite;
mod support;
mod unit_network;
mod write_faults;
