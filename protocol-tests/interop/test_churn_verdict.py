"""That the judge of `test_churn.py` sees what it is there for: each story below breaks one rule, or has an excuse."""

import pytest

from churn.offsets_topic import Commit, Share
from churn.verdict import Account, Evidence, judge


def handled(at, first, last):
    return {"at": at, "event": "handled", "partition": 0, "first": first, "last": last}


def told(at, event):
    return {"at": at, "event": event, "partitions": [0]}


def account(name, *events, kind="ours", **more):
    return Account(name, name, kind, list(events), started=0, **more)


def verdict(*accounts, commits=(), shares=(), outages=(), cooperative=False):
    """Of one partition with ten records, all of them acknowledged."""
    return judge(Evidence(ends={0: 10}, acknowledged={(0, offset) for offset in range(10)}, accounts=accounts,
                          commits=[Commit(at, 0, offset) for at, offset in commits], shares=list(shares),
                          cooperative=cooperative, long_pause=7_000, outages=list(outages)))


def rules(found):
    return sorted({problem.split(":")[0] for problem in found.problems})


def test_a_quiet_life_is_no_problem():
    one = account("one", told(1, "assigned"), handled(2, 0, 9))
    found = verdict(one, commits=[(3, 10)])
    assert rules(found) == []
    assert found.figures["records"] == 10
    assert found.figures["handled again"] == 0


def test_a_record_that_nobody_handled_was_skipped():
    one = account("one", told(1, "assigned"), handled(2, 0, 8))
    assert rules(verdict(one, commits=[(3, 9)])) == ["skipped"]


def test_a_commit_must_not_be_ahead_of_the_handling():
    one = account("one", told(1, "assigned"), handled(2, 0, 4), handled(9, 5, 9))
    assert rules(verdict(one, commits=[(3, 6), (10, 10)])) == ["committed ahead"]


def test_a_commit_must_not_go_back():
    one = account("one", told(1, "assigned"), handled(2, 0, 9))
    assert rules(verdict(one, commits=[(3, 8), (4, 5), (5, 10)])) == ["commit went back"]


@pytest.mark.parametrize("first", [3, 6])
def test_reading_begins_at_the_commit(first):
    one = account("one", told(1, "assigned"), handled(2, 0, 9), killed=4)
    two = account("two", told(5, "assigned"), handled(6, first, 9))
    assert rules(verdict(one, two, commits=[(3, 5), (7, 10)])) == ["began elsewhere"]


def test_a_gap_is_another_beginning():
    one = account("one", told(1, "assigned"), handled(2, 0, 3), handled(3, 6, 9), handled(9, 4, 5))
    assert "began elsewhere" in rules(verdict(one))


def again(*more, kind="ours", **fate):
    """One handles all and commits half of it, then another handles the rest anew."""
    one = account("one", told(1, "assigned"), handled(2, 0, 9), *more, kind=kind, **fate)
    two = account("two", told(20_000, "assigned"), handled(20_001, 5, 9))
    return verdict(one, two, commits=[(3, 5), (20_002, 10)])


@pytest.mark.parametrize("kind", ["ours", "hop", "java", "librdkafka"])
def test_what_comes_twice_wants_a_crash(kind):
    assert rules(again(kind=kind)) == ["handled again"]
    assert rules(again(told(4, "revoking"), kind=kind)) == ["handled again"]
    found = again(kind=kind, killed=4)
    assert rules(found) == []
    assert found.figures["handled again, killed"] == 5


def test_a_kill_before_it_was_handled_is_no_excuse():
    one = account("one", told(1, "assigned"), handled(2, 0, 9))
    two = account("two", told(20_000, "assigned"), handled(20_001, 5, 9), killed=20_002)
    assert rules(verdict(one, two, commits=[(3, 5)])) == ["handled again"]


def test_ours_must_have_noticed_that_they_stood_still_for_too_long():
    pauses = [[4, 10_004]]
    assert rules(again(pauses=pauses)) == ["handled again"]
    found = again(told(10_005, "lost"), pauses=pauses)
    assert rules(found) == []
    assert found.figures["handled again, lost"] == 5
    assert rules(again(pauses=pauses, kind="java")) == []
    assert rules(again(pauses=[[4, 2_004]], kind="java")) == ["handled again"]


def test_ours_lose_nothing_without_a_crash():
    assert rules(again(told(4, "lost"))) == ["lost"]
    assert rules(again(told(10_005, "lost"), pauses=[[4, 2_004]])) == ["lost"]


def test_theirs_may_be_refused_a_commit():
    refused = {"at": 4, "event": "refused", "partitions": [0], "error": "rebalance in progress"}
    assert rules(again(refused, kind="java")) == []
    assert rules(again(refused)) == ["handled again"]


def test_who_stood_still_goes_on_with_the_batch_in_hand_only():
    def late(kind):
        one = account("one", told(1, "assigned"), handled(2, 0, 3), handled(10_005, 4, 5), handled(10_006, 6, 7),
                      told(10_007, "lost"), kind=kind, pauses=[[4, 10_004]])
        two = account("two", told(9_000, "assigned"), handled(9_001, 4, 9))
        return verdict(one, two, commits=[(3, 4), (9_002, 10)])

    assert rules(late("ours")) == ["handled again"]
    assert rules(late("java")) == []
    found = late("ours")
    assert found.figures["handled again, in hand"] == 2
    assert found.figures["problems: handled again"] == 2


def test_ours_handle_only_what_is_theirs():
    one = account("one", told(1, "assigned"), handled(2, 0, 4), told(3, "revoking"), handled(4, 5, 9))
    assert rules(verdict(one, commits=[(5, 10)])) == ["not its own"]


def test_cooperative_members_keep_what_the_coordinator_leaves_them():
    one = account("one", told(1, "assigned"), handled(2, 0, 9), told(6, "revoking"))

    def with_share(partitions):
        shares = [Share(1, "one", frozenset({0})), Share(5, "one", frozenset(partitions))]
        return rules(verdict(one, commits=[(3, 10)], shares=shares, cooperative=True))

    assert with_share({0}) == ["interrupted"]
    assert with_share(()) == []
