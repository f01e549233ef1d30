"""Every operation, error and limit of the model that AWS publishes, against one running server."""

import functools
import re
from collections import defaultdict

import pytest

from conftest import Node
from conformance import limits, tokens
from conformance.cases import CASES
from conformance.constants import CONFIG
from conformance.conversations import STORIES, single
from conformance.model import OPERATIONS, PAIRS, model_of, reasons
from conformance.provocations import declared, generated
from conformance.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One node and what was made on it, for the whole module."""
    node = Node(tmp_path_factory.mktemp("conformance"), config=CONFIG)
    try:
        yield World(node.start())
        assert node.process.poll() is None and node.health() == 200, node.tail()
    finally:
        node.end()


def asked(world, operation: str, data: dict, region: str = "us-east-1", client=None):
    """What was given and the answer."""
    given = world.filled(data)
    return given, (client or world.client).call(operation, given, region)


# --- answers ---------------------------------------------------------------------------------------

ABSENT = reasons("absent.txt")


def test_every_operation_has_a_minimal_input():
    assert sorted(CASES) == sorted(OPERATIONS)
    assert all("minimal" in cases for cases in CASES.values())


def test_absent_members_are_of_the_model():
    for operation, case, path in ABSENT:
        assert case in CASES[operation], (operation, case)
        model = model_of(operation)
        assert path in model.paths(model.output(operation)), (operation, path)


@pytest.mark.parametrize("operation, case", [(operation, case) for operation in CASES for case in CASES[operation]])
def test_an_answer_has_every_documented_member_and_no_other(world, operation, case):
    given, answer = asked(world, operation, CASES[operation][case], client=world.client_for(operation))
    assert answer.status == 200, answer.body
    content_type = "application/json" if operation == "PutAuditEvents" else "application/x-amz-json-1.1"
    assert answer.headers["content-type"] == content_type
    assert len(answer.headers["x-amzn-requestid"]) == 36
    model = model_of(operation)
    faults, seen = model.faults(model.output(operation), answer.json)
    assert not faults, (faults, answer.json)
    # What was not given is not repeated.
    not_given = set(model.paths(model.input(operation))) - model.faults(model.input(operation), given)[1]
    documented = set(model.paths(model.output(operation)))
    missing = documented - seen - not_given - below(not_given, documented)
    listed = {path for of, named, path in ABSENT if (of, named) == (operation, case)}
    assert not listed & seen, f"listed in absent.txt, but there: {sorted(listed & seen)}"
    unlisted = missing - below(missing, missing) - listed
    assert not unlisted, "\n".join(f"{operation} {case} {path}" for path in sorted(unlisted))


def below(outers: set[str], paths) -> set[str]:
    """The paths of members of `outers`."""
    return {path for path in paths if any(path.startswith((f"{outer}.", f"{outer}[", f"{outer}{{")) for outer in outers)}


# --- errors ----------------------------------------------------------------------------------------

UNPROVOKED = reasons("unprovoked.txt")
PROVOCATIONS = defaultdict(list)
for provocation in (*generated(), *single()):
    assert declared(provocation), provocation
    PROVOCATIONS[provocation.operation, provocation.code].append(provocation)
PROVOKED = sorted({*PROVOCATIONS, *STORIES})


@pytest.mark.parametrize("operation, code", PROVOKED)
def test_an_error_of_the_model_comes_when_it_is_due(world, operation, code):
    for provocation in PROVOCATIONS[operation, code]:
        given, answer = asked(world, operation, provocation.given, provocation.region)
        assert (answer.status, answer.code) == (400, code), (given, answer.status, answer.body)
        assert world.filled(provocation.names) in answer.message, (given, answer.message)
        assert is_an_error(answer)
    if story := STORIES.get((operation, code)):
        answer = story(world)
        assert (answer.status, answer.code) == (400, code), answer.body
        assert is_an_error(answer)


def is_an_error(answer) -> bool:
    """As AWS writes errors: the short name, a message, nothing else; and the headers of every answer."""
    has_headers = "json" in answer.headers["content-type"] and len(answer.headers["x-amzn-requestid"]) == 36
    return has_headers and set(answer.json) == {"__type", "message"} and len(answer.message) > 10


# --- limits ----------------------------------------------------------------------------------------

# Codes that can be the answer to a value outside its limits, where the operation declares them.
FITTING = re.compile("Invalid|NotValid|LimitExceeded|Duplicated")
LENIENT = reasons("lenient.txt")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_outside_a_limit_is_refused_and_what_is_inside_is_not(world, operation):
    inputs = based(world, operation)
    faults = []
    listed = {entry for entry in LENIENT if entry[0] == operation}
    for limit in limits.limits(model_of(operation), operation, inputs):
        answer = world.client.call(operation, limit.given, limits.REGIONS.get(operation, "us-east-1"))
        entry = (operation, limit.path, *limit.what.split())
        if entry in listed:
            listed.remove(entry)
            fault = None if answer.status == 200 else "is listed in lenient.txt, but refused"
        else:
            fault = allowed_fault(limit, answer) if limit.fits else refused_fault(operation, limit, answer)
        if fault:
            faults.append(f"{operation} {limit.path} {limit.what}: {fault}: {answer.status} {answer.body.decode()[:300]}")
    assert not faults, "\n".join(faults)
    assert not listed, f"in lenient.txt, but not in the model: {listed}"


def based(world, operation: str) -> list[dict]:
    """The valid inputs, the first of which has been carried out: what it makes is there."""
    inputs = limits.bases(world, operation)
    world.client.call(operation, inputs[0], limits.REGIONS.get(operation, "us-east-1"))
    return inputs


def refused_fault(operation: str, limit, answer) -> str | None:
    """What is wrong with the answer to a value that must be refused."""
    if answer.status != 400:
        return "is not refused"
    if answer.code == "ValidationException":
        member = limit.member[0].lower() + limit.member[1:]
        return None if f"'{member}" in answer.message and "failed to satisfy constraint" in answer.message else "is not named"
    declared = answer.code in model_of(operation).errors(operation)
    return None if declared and FITTING.search(answer.code) else "is refused with a code that does not fit"


def allowed_fault(limit, answer) -> str | None:
    """What is wrong with the answer to a value within its limits; it may be refused for another reason."""
    if answer.code == "AccessDeniedException":
        return None
    if answer.status not in (200, 400):
        return "is not answered"
    is_of_limits = answer.code == "SerializationException" or "failed to satisfy constraint" in answer.message
    if limit.kind in ("integer", "long"):
        is_of_limits |= answer.code in ("ValidationException", "InvalidMaxResultsException", "InvalidParameterException")
    return "is refused for its limit" if answer.status == 400 and is_of_limits else None


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_value_of_the_wrong_kind_is_refused(world, operation):
    inputs = based(world, operation)
    faults = []
    for path, wrong, given in limits.wrong_kinds(model_of(operation), operation, inputs):
        answer = world.client.call(operation, given)
        if (answer.status, answer.code) != (400, "SerializationException") or len(answer.message) < 10:
            faults.append(f"{operation} {path} = {wrong!r}: {answer.status} {answer.body.decode()[:200]}")
    for body in (b"[]", b'"x"', b"null", b"{", b'{"a": 1, "a": 2}', b"\xff", b"{} {}", b"[" * 10_000):
        answer = world.client.call(operation, body)
        if (answer.status, answer.code) != (400, "SerializationException"):
            faults.append(f"{operation} {body[:20]!r}: {answer.status} {answer.body.decode()[:200]}")
    assert not faults, "\n".join(faults)


# --- tokens ----------------------------------------------------------------------------------------


def test_every_paging_operation_has_a_first_page():
    assert sorted(tokens.FIRST_PAGES) == sorted(tokens.PAGING)


@pytest.fixture(scope="module")
def token_of(world):
    """The token of an operation's first page, if there is a second."""

    @functools.cache
    def token(operation: str) -> str | None:
        return world.client.done(operation, tokens.first_page(world, operation)).get("NextToken")

    return token


@pytest.mark.parametrize("operation", [operation for operation in tokens.PAGING if operation not in tokens.IGNORED])
def test_a_token_is_good_for_its_own_question_only(world, token_of, operation):
    given, answer = asked(world, operation, tokens.FIRST_PAGES[operation])
    own = token_of(operation)
    if own is None:
        assert operation in tokens.ONE_PAGE or operation in tokens.NO_DATA, f"{operation} gave no token: {answer.body[:300]}"
    else:
        second = world.client.call(operation, {**given, "NextToken": own})
        assert second.status == 200 and second.json != answer.json, second.body
    others = [token_of(other) for other in tokens.PAGING if other != operation]
    wrong = [*filter(None, others), *tokens.RUBBISH, *(tokens.altered(own) if own else [])]
    refused = [(world.client, given, token, "us-east-1") for token in wrong]
    if own:
        if elsewhere := world.client.call(operation, given, "eu-west-1").status == 200:
            refused.append((world.client, given, own, "eu-west-1"))
        assert elsewhere or operation in tokens.OF_ONE_REGION
        if another := world.manager.call(operation, given).status == 200:
            refused.append((world.manager, given, own, "us-east-1"))
        assert another or operation in tokens.OF_ONE_ACCOUNT
        if operation in tokens.OTHER_QUESTIONS:
            refused.append((world.client, world.filled(tokens.OTHER_QUESTIONS[operation]), own, "us-east-1"))
    code = tokens.documented(operation)
    for client, given, token, region in refused:
        answer = client.call(operation, {**given, "NextToken": token}, region)
        assert (answer.status, answer.code) == (400, code), (token, given, region, answer.body[:300])
        assert "nexttoken" in answer.message.lower(), answer.message


@pytest.mark.parametrize("operation", tokens.IGNORED)
def test_a_token_is_ignored_where_aws_ignores_it(world, operation):
    given = tokens.first_page(world, operation)
    for token in tokens.RUBBISH:
        assert world.client.done(operation, {**given, "NextToken": token}) == world.client.done(operation, given)


# --- the last: what was seen in all tests ----------------------------------------------------------


def test_every_error_of_the_model_is_provoked_or_listed(world):
    """The list may only shrink. Whatever was answered by all tests before this one counts."""
    names_nothing = set(UNPROVOKED) - set(PAIRS)
    assert not names_nothing, f"in unprovoked.txt, but not in the model: {sorted(names_nothing)}"
    provoked = set(UNPROVOKED) & ({*PROVOKED} | world.client.observed)
    assert not provoked, f"in unprovoked.txt, but provoked: {sorted(provoked)}"
    neither = set(PAIRS) - set(UNPROVOKED) - set(PROVOKED)
    assert not neither, "\n".join(" ".join(pair) for pair in sorted(neither))
