//! The cases, in the order in which they run; their steps are in a file for each kind of trouble. Run by `make e2e`, one after the other. Without a cluster
//! they are not run.
#![expect(clippy::unwrap_used, reason = "tests")]

mod api_server;
mod bucket;
mod by_file;
mod clock;
mod counted;
mod disaster;
mod edges;
mod eras;
mod https;
mod in_cluster;
mod installed;
mod killed;
mod operator;
mod pods;
mod refused;
mod rehearsed;
mod serving;
mod tenant;
mod two;
mod variants;

macro_rules! cases {
    ($($name:ident => $run:expr;)*) => {
        $(
            #[test]
            #[ignore = "needs a cluster: make e2e"]
            fn $name() {
                $run;
            }
        )*
    };
}

cases! {
    case_00_a_fingerprint_stands_still_while_everything_writes => eras::stands_still();
    case_01_era_2_15_comes_back_whole => eras::whole_life("case 01: 2.15, Deployments with internal databases", "2.15", true);
    case_02_era_2_14_comes_back_whole => eras::whole_life("case 02: 2.14, DeploymentConfigs", "2.14", false);
    case_03_era_2_16_comes_back_whole => eras::whole_life("case 03: 2.16, external databases with percent-encoded passwords", "2.16", false);
    case_04_an_operator_that_fights_back_is_held_and_let_go => operator::fights_back();
    case_05_killed_at_every_step_it_resumes_to_the_end => killed::resumed();
    case_05_killed_at_every_step_it_is_undone_to_the_beginning => killed::undone();
    case_06_a_pod_killed_in_mid_dump_leaves_no_set => pods::killed_in_mid_dump();
    case_06_a_pod_killed_in_mid_stage_leaves_a_run_to_resume => pods::killed_in_mid_stage();
    case_07_an_api_server_restarted_in_a_restore_is_outlived => api_server::restarted();
    case_08_rights_too_small_are_named_and_nothing_is_touched => refused::rights_too_small();
    case_09_a_wrong_namespace_is_named => refused::wrong_namespace();
    case_10_and_11_a_set_of_2_15_goes_into_2_16_beside_it => two::migrated("cases 10, 11: 2.15 with internal databases into 2.16 with external ones", "2.15");
    case_11_a_set_of_2_14_goes_into_2_16_beside_it => two::migrated("case 11: 2.14 with DeploymentConfigs into 2.16", "2.14");
    case_12_a_job_in_the_cluster_is_killed_and_resumed => in_cluster::killed_and_resumed();
    case_13_a_lost_2_14_comes_back_in_an_empty_namespace => disaster::into_empty("case 13: 2.14 lost, into an empty namespace", "2.14");
    case_13_a_lost_2_15_comes_back_in_an_empty_namespace => disaster::into_empty("case 13: 2.15 lost, into an empty namespace", "2.15");
    case_13_a_lost_2_16_comes_back_in_an_empty_namespace => disaster::into_empty("case 13: 2.16 lost, into an empty namespace", "2.16");
    case_14_a_dropped_database_is_made_anew => edges::dropped_database();
    case_15_an_overwritten_token_reaches_those_who_read_it => edges::overwritten_token();
    case_16_a_quota_is_told_as_what_it_is => edges::quota();
    case_17_two_api_managers_are_told_by_name => edges::two_api_managers();
    case_18_tls_comes_back_whole => variants::whole_life("case 18: 2.16 with TLS everywhere", "tls");
    case_18_sentinel_comes_back_whole => variants::whole_life("case 18: 2.16 with Sentinels", "sentinel");
    case_18_postgres_comes_back_whole => variants::whole_life("case 18: 2.16 on PostgreSQL", "postgres");
    case_18_acl_comes_back_whole => variants::whole_life("case 18: 2.16 with restricted Redis users", "acl");
    case_18_s3_comes_back_whole => variants::whole_life("case 18: 2.16 with files in a bucket", "s3");
    case_19_files_go_from_a_volume_into_a_bucket_and_back => bucket::there_and_back();
    case_20_a_bucket_behind_https_is_a_repository_in_the_cluster => https::from_the_image();
    case_21_redis_goes_back_by_file_in_its_pod => by_file::there_and_back();
    case_22_jobs_are_done_first_and_live_stores_set_right => serving::drained_repaired_and_merged();
    case_23_a_set_of_2_15_is_rehearsed_in_pods_that_leave_nothing => rehearsed::in_pods("case 23: rehearsed in pods, 2.15", "2.15", &[]);
    case_23_a_set_of_2_16_is_rehearsed_in_pods_of_configured_images => rehearsed::in_pods("case 23: rehearsed in pods, 2.16", "2.16", &rehearsed::IMAGES);
    case_24_a_set_is_rehearsed_by_a_job => rehearsed::by_a_job();
    case_25_one_tenant_goes_back_with_its_files => tenant::goes_back_alone();
    case_26_what_was_given_since_the_backup_is_not_given_twice => counted::nothing_is_given_twice();
}
