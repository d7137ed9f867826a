//! SCRAM users and access rules: on Kafka as they are, on ours that there are none.

use std::time::Duration;

use hop::kafka::admin::{
    Acl, AclFilter, AclOperation, AclPattern, AclPatternFilter, AclResource, ScramCredential, ScramMechanism,
};
use hop::kafka::{Client, Error, Sasl, Tls};
use hop::wire::error_code::ErrorCode;
use protocol_tests::target::{Target, code, eventually, kafka, only, unique};

fn is_unsupported<T: std::fmt::Debug>(result: Result<T, Error>, name: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Unsupported { api, .. } if *api == name), "{error}");
}

#[tokio::test]
async fn users_are_let_in_with_their_new_passwords_only() {
    let target = Target::new().await;
    let admin = &target.admin;
    for (mechanism, iterations) in [(ScramMechanism::Sha512, 0), (ScramMechanism::Other(9), 4096)] {
        let refused = admin.upsert_scram_user("u", mechanism, iterations, &"p".to_owned().into()).await;
        assert!(matches!(refused, Err(Error::Setting { .. })));
    }
    assert!(admin.describe_scram_users(Some(&[])).await.unwrap().is_empty());
    if kafka().is_none() {
        let mechanism = ScramMechanism::Sha512;
        is_unsupported(admin.describe_scram_users(None).await, "DescribeUserScramCredentials");
        let upserted = admin.upsert_scram_user("u", mechanism, 4096, &"p".to_owned().into()).await;
        is_unsupported(upserted, "AlterUserScramCredentials");
        is_unsupported(admin.delete_scram_user("u", mechanism).await, "AlterUserScramCredentials");
        return;
    }
    let user = unique("user,=");
    for (mechanism, iterations) in [(ScramMechanism::Sha256, 4096), (ScramMechanism::Sha512, 8192)] {
        admin.upsert_scram_user(&user, mechanism, iterations, &"first".to_owned().into()).await.unwrap();
    }
    let expected = [(ScramMechanism::Sha256, 4096), (ScramMechanism::Sha512, 8192)];
    eventually("the user is known", async || {
        let described = only(admin.describe_scram_users(Some(&[&user])).await.unwrap());
        let Ok(known) = described else { return false };
        let mut known: Vec<_> = known
            .iter()
            .map(|&ScramCredential { mechanism, iterations, .. }| (mechanism, iterations))
            .collect();
        known.sort_unstable_by_key(|(_, iterations)| *iterations);
        known == expected
    })
    .await;
    let all = admin.describe_scram_users(None).await.unwrap();
    assert!(all.iter().any(|(name, _)| *name == user) && all.len() > 1);

    lets_in(Sasl::scram_sha_256(&user, "first".to_owned().into()), true).await;
    lets_in(Sasl::scram_sha_512(&user, "first".to_owned().into()), true).await;
    admin.upsert_scram_user(&user, ScramMechanism::Sha512, 4096, &"second".to_owned().into()).await.unwrap();
    lets_in(Sasl::scram_sha_512(&user, "second".to_owned().into()), true).await;
    lets_in(Sasl::scram_sha_512(&user, "first".to_owned().into()), false).await;
    lets_in(Sasl::scram_sha_256(&user, "first".to_owned().into()), true).await;

    let few = admin.upsert_scram_user(&user, ScramMechanism::Sha512, 1000, &"p".to_owned().into()).await;
    assert!(matches!(few, Err(Error::Refused { code: ErrorCode::UNACCEPTABLE_CREDENTIAL, .. })), "{few:?}");
    admin.delete_scram_user(&user, ScramMechanism::Sha512).await.unwrap();
    lets_in(Sasl::scram_sha_512(&user, "second".to_owned().into()), false).await;
    let gone = admin.delete_scram_user(&user, ScramMechanism::Sha512).await;
    assert_eq!(code(gone), ErrorCode::RESOURCE_NOT_FOUND);
    admin.delete_scram_user(&user, ScramMechanism::Sha256).await.unwrap();
    eventually("the user is gone", async || {
        let described = only(admin.describe_scram_users(Some(&[&user])).await.unwrap());
        matches!(described, Err(error) if error.code() == Some(ErrorCode::RESOURCE_NOT_FOUND))
    })
    .await;
}

/// Whether Kafka lets in who comes with this: it learns of a change a little later.
async fn lets_in(sasl: Sasl, expected: bool) {
    let wanted = "CONFORMANCE_SASL_SSL and CONFORMANCE_CA belong to CONFORMANCE_BROKER";
    let address = std::env::var("CONFORMANCE_SASL_SSL").expect(wanted);
    let ca = std::env::var("CONFORMANCE_CA").expect(wanted);
    eventually("a login ends as it should", async || {
        let client =
            Client::builder().bootstrap(&address).tls(Tls::default().ca_file(&ca)).sasl(sasl.clone());
        client.connect_timeout(Duration::from_secs(10)).connect().await.is_ok() == expected
    })
    .await;
}

#[tokio::test]
async fn rules_are_made_found_and_deleted() {
    let admin = Target::new().await.admin;
    if kafka().is_none() {
        let all = AclFilter::default();
        is_unsupported(admin.describe_acls(&all).await, "DescribeAcls");
        let rule = Acl::allow("User:u", AclOperation::Read).topic("t");
        is_unsupported(admin.create_acls(&[rule]).await, "CreateAcls");
        is_unsupported(admin.delete_acls(&all).await, "DeleteAcls");
        return;
    }
    let (user, topic) = (format!("User:{}", unique("someone")), unique("ruled"));
    let read = Acl::allow(&user, AclOperation::Read).topic(&topic);
    let write = Acl::deny(&user, AclOperation::Write).topic(&topic[..10]).prefixed().from_host("127.0.0.9");
    let group = Acl::allow(&user, AclOperation::Describe).group(&topic);
    let whole = Acl::allow(&user, AclOperation::AlterConfigs);
    let misplaced = Acl::allow(&user, AclOperation::IdempotentWrite).topic("");
    let rules = [read.clone(), misplaced, write.clone(), group.clone(), whole.clone()];
    let made = admin.create_acls(&rules).await.unwrap();
    let refused: Vec<bool> = made.iter().map(|(_, result)| result.is_err()).collect();
    assert_eq!(refused, [false, true, false, false, false], "{made:?}");

    let mut mine = AclFilter::default();
    mine.principal = Some(user.clone());
    eventually("all rules are known", async || admin.describe_acls(&mine).await.unwrap().len() == 4).await;
    let found = admin.describe_acls(&mine).await.unwrap();
    for rule in [&read, &write, &group, &whole] {
        assert!(found.contains(rule), "{rule}");
    }
    // What holds for the topic, by its own name and by the beginning of it.
    let mut of_topic = mine.clone();
    of_topic.resource = Some(AclResource::Topic);
    of_topic.name = Some(topic.clone());
    assert_eq!(admin.describe_acls(&of_topic).await.unwrap(), std::slice::from_ref(&read));
    of_topic.pattern = AclPatternFilter::Match;
    let found = admin.describe_acls(&of_topic).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().any(|rule| rule.pattern == AclPattern::Prefixed && *rule == write));

    let deleted = admin.delete_acls(&AclFilter::from(&write)).await.unwrap();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].0, write);
    let deleted = admin.delete_acls(&mine).await.unwrap();
    assert_eq!(deleted.iter().filter(|(_, result)| result.is_ok()).count(), 3);
    eventually("the rules are gone", async || admin.describe_acls(&mine).await.unwrap().is_empty()).await;
}
