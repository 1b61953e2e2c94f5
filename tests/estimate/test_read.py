import json

import numpy as np
import pandas as pd
import pytest

from moralfit.estimate import EstimationError, estimate, from_records, plan_features, read_choices
from moralfit.games import Decision, Game, Terminal, sequential_prisoners_dilemma, trust_game
from moralfit.preferences import HomoEconomicus, HomoMoralis
from moralfit.solve import assumed_belief

SPD = {"game": "sequential_prisoners_dilemma", "T": 80, "R": 65, "P": 25, "S": 20, "belief": 0.5}
TRUST = {"game": "trust_game", "T": 80, "R": 60, "P": 30, "S": 20, "belief": 0.5}


def table(*rows):
    return pd.DataFrame([{"agent": "a", **row} for row in rows])


def cells(choices):
    """{(situation, plans): count}, plans by number within their situation."""
    ends = [*choices.cell_starts[1:], len(choices.cell_members)]
    found = {}
    for cell, count in enumerate(choices.counts.sum(axis=0)):
        s = choices.situation_of_cell[cell]
        members = choices.cell_members[choices.cell_starts[cell] : ends[cell]] - choices.situation_starts[s]
        found[int(s), tuple(members.tolist())] = float(count)
    return found


def test_plans_decisions_counts_and_beliefs():
    spd = sequential_prisoners_dilemma(80, 65, 25, 20)
    choices = read_choices(
        table(
            {**SPD, "plan": "CCD", "count": 3},
            {**SPD, "plan": "C, D, D", "count": 2},
            {**SPD, "plan": ("D", "D", "D"), "count": 1},
            {**SPD, "decision": "after C", "action": "D", "count": 4},
            {**SPD, "belief": "[1, 0.5, [0.25, 0.75]]", "plan": "CCC", "count": 1},
            {**SPD, "belief": "CCD", "plan": "CCC", "count": 1},
            {**SPD, "belief": '{"first": 1, "after C": 1, "after D": 0}', "plan": "CCC", "count": 1},
        )
    )
    assert cells(choices) == {(0, (1,)): 3, (0, (3,)): 2, (0, (7,)): 1, (0, (2, 3, 6, 7)): 4, (1, (0,)): 1, (2, (0,)): 2}
    assert choices.features[:8] == pytest.approx(plan_features(spd, 0.5))
    assert choices.features[8:16] == pytest.approx(plan_features(spd, [1, 0.5, 0.25]))
    assert choices.agents == ("a",)


def test_csv_and_own_games(tmp_path):
    own = Game("dictator", Decision(0, "give", ("half", "nothing"), (Terminal((5, 5)), Terminal((10, 0)))))
    path = tmp_path / "choices.csv"
    path.write_text(
        "agent,game,T,R,P,S,plan,belief,count,session\n"
        "7,mine,,,,,half,,2,x\n7,mine,,,,,nothing,,1,y\n08,trust_game,80,60,30,20,IG,1,1,x\n08,trust_game,80,60,30,20,IK,0.5,1,x\n"
    )
    choices = read_choices(path, {"mine": own}, belief=0.5, clusters=("session",))
    assert choices.agent_names == ("7", "08")
    assert choices.n == 5
    assert choices.games == ("dictator", "trust_game", "trust_game")
    assert sorted(choices.clusters["session"]) == ["x", "x", "y"]
    whole = choices.features[choices.situation_of_alternative == 1]
    assert whole == pytest.approx(plan_features(trust_game(80, 60, 30, 20), 1))
    found = estimate(choices, fixed={"alpha": 0, "beta": 0, "kappa": 0}, standard_errors="cluster", cluster="session")
    assert found.clusters in (None, 2)


def test_probabilities_are_fractional_observations():
    rows = [{**TRUST, "plan": p, "probability": q} for p, q in (("IG", 0.5), ("IK", 0.3), ("NG", 0.15), ("NK", 0.05))]
    rows += [{**TRUST, "decision": "first", "action": a, "probability": q, "count": 10} for a, q in (("I", 0.9), ("N", 0.1))]
    for row in rows[:4]:
        row["count"] = 1
    found = cells(read_choices(table(*rows)))
    assert found == pytest.approx(
        {(0, (0,)): 0.5, (0, (1,)): 0.3, (0, (2,)): 0.15, (0, (3,)): 0.05, (0, (0, 1)): 9, (0, (2, 3)): 1}
    )


def test_rows_of_one_observation_are_one_cell():
    rows = [
        {**SPD, "decision": "first", "action": "C", "observation": 1},
        {**SPD, "decision": "after D", "action": "D", "observation": 1},
        {**SPD, "decision": "first", "action": "D", "observation": 2},
        {**SPD, "decision": "first", "action": "D", "observation": None},
    ]
    assert cells(read_choices(table(*rows))) == {(0, (1, 3)): 1, (0, (4, 5, 6, 7)): 2}
    rows.append({**SPD, "decision": "first", "action": "C", "observation": 2})
    with pytest.raises(EstimationError, match=r"contradictory rows of one observation: 2 and 4 "):
        read_choices(table(*rows))
    dropped = read_choices(table(*rows), contradictions="drop")
    assert dropped.n == 2
    assert dropped.notes == ((None, "1 contradictory observations dropped (rows 2 and 4)"),)
    assert any("contradictory" in warning for warning in estimate(dropped, fixed={"lambda": 5, "alpha": 0, "beta": 0}).warnings)


GOOD = [{**TRUST, "plan": "IG"}, {**TRUST, "plan": "IK"}, {**SPD, "plan": "CCC"}]


def with_row(**changes):
    return [*GOOD, {**TRUST, "plan": "NK", **changes}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "missing columns: agent, game, decision, action .*plan, or decision and action"),
        ([{"game": "trust_game", "agent": "a"}], "missing columns: decision, action"),
        (with_row(plan="XY"), r"unknown plan 'XY' of trust_game: a plan says I/N then G/K \(row 3\)"),
        (with_row(plan="IGG"), r"unknown plan 'IGG'"),
        (with_row(plan=None), r"no choice is given.*\(row 3\)"),
        (
            with_row(plan=None, decision="last", action="I"),
            r"unknown decision 'last' .* are first, after I \(row 3\)",
        ),
        (with_row(plan=None, decision="first", action="G"), r"unknown action 'G' at 'first'.* I or N \(row 3\)"),
        (with_row(decision="first", action="I"), r"plan and decision contradict each other \(row 3\)"),
        (with_row(game="trust"), r"unknown game 'trust'; did you mean 'trust_game'\? Known games: .*trust_game.*\(row 3\)"),
        (with_row(game=None), r"game is empty \(row 3\)"),
        (with_row(agent=" "), r"agent is empty \(row 3\)"),
        (with_row(R=None), r"lacking R \(row 3\)"),
        (with_row(T=10), r"T > R > P > S.*\(row 3\)"),
        (with_row(belief=1.5), r"1.5 is not a probability \(row 3\)"),
        (with_row(belief="maybe"), r"\(row 3\)"),
        (with_row(belief=None), r"no belief is given.*\(row 3\)"),
        (with_row(count=-1), r"count is not a number of at least 0 \(rows 0, 1, 2, 3\)"),
        (with_row(probability=0.5), "probability is not a number between 0 and 1"),
        ([{**TRUST, "plan": "IG"}], r"a single choice \(row 0\)"),
    ],
)
def test_bad_rows_are_named(rows, message):
    with pytest.raises(EstimationError, match=message):
        read_choices(table(*rows))


def test_many_bad_rows_are_counted():
    with pytest.raises(EstimationError, match=r"\(rows 0, 1, 2, 3, 4 and 7 more\)"):
        read_choices(table(*[{**TRUST, "plan": "XX"}] * 12))


def test_nan_and_empty_groups():
    rows = [{**row, "count": 1} for row in GOOD]
    with pytest.raises(EstimationError, match=r"count is not a number of at least 0 \(row 1\)"):
        read_choices(table(rows[0], {**rows[1], "count": float("nan")}, rows[2]))
    with pytest.raises(EstimationError, match=r"no observations of b: all counts are zero \(rows 3\)"):
        read_choices(table(*rows, {**rows[0], "agent": "b", "count": 0}))
    with pytest.raises(EstimationError, match="no rows"):
        read_choices(table(*rows).iloc[:0])
    with pytest.raises(EstimationError, match="cannot be read"):
        read_choices("nowhere.csv")


def test_probabilities_that_do_not_fit():
    def rows(*pairs):
        return table(*({**TRUST, "plan": plan, "probability": p} for plan, p in pairs))

    with pytest.raises(EstimationError, match=r"probabilities of rows 0, 1 sum to 0.9, not to one \(a, trust_game"):
        read_choices(rows(("IG", 0.5), ("IK", 0.4)))
    with pytest.raises(EstimationError, match=r"rows 0, 1, 2 contradict each other, giving one choice two probabilities"):
        read_choices(rows(("IG", 0.5), ("IG", 0.25), ("IK", 0.25)))


def record(decision, action, prompt=0, belief=(0.5, 0.5), status="answered", agent="tuned", probabilities=None, **more):
    return {
        "agent": agent,
        "prompt_id": prompt,
        "game": "trust_game",
        "payoffs": {"T": 80, "R": 60, "P": 30, "S": 20},
        "belief": None if belief is None else [[p, 1 - p] for p in belief],
        "decision": decision,
        "actions": ["I", "N"] if decision == "first" else ["G", "K"],
        "action": action,
        "status": status,
        "probabilities": probabilities,
        "item": 4,
        **more,
    }


def test_records_of_the_evaluator():
    records = [
        record("first", "I"),
        record("after I", "K"),
        record("first", "N", prompt=1),
        record("first", None, prompt=2, status="unparseable"),
        record("after I", "G", prompt=3, belief=None),
    ]
    records = [json.loads(json.dumps(one)) for one in records]
    choices = from_records(records, assume=HomoMoralis(0.5), clusters=("item",))
    belief = assumed_belief(trust_game(80, 60, 30, 20), HomoMoralis(0.5))
    assert cells(choices) == {(0, (1,)): 1, (0, (2, 3)): 1, (1, (0, 2)): 1}
    assert choices.features[4:] == pytest.approx(plan_features(trust_game(80, 60, 30, 20), belief))
    assert choices.notes == (("tuned", "1 of 4 prompts not answered: left out"),)
    assert choices.clusters == {"item": ("4",)}
    by_function = from_records(records, assume={"tuned": lambda game: 0.25})
    assert by_function.features[4:] == pytest.approx(plan_features(trust_game(80, 60, 30, 20), 0.25))
    nothing = from_records(records, assume=lambda game: None)
    assert ("tuned", "1 of 4 prompts for which no belief is assumed: left out") in nothing.notes
    both = from_records([*records[:3], record("first", None, prompt=9, status="refused", agent="base")])
    assert both.agent_names == ("tuned",)
    assert both.notes == (("base", "1 of 1 prompts not answered: left out"),)
    assert both.of("tuned").notes == ()
    with pytest.raises(EstimationError, match="record 4: the prompt states no belief"):
        from_records(records)
    assert from_records(records[:1] * 2, assume=HomoEconomicus()).n == 1


def test_a_file_of_records(tmp_path):
    path = tmp_path / "records.jsonl"
    # A reply may hold what str.splitlines takes for the end of a line.
    records = [record("first", "I", reply="so\u2028I say"), record("after I", "K")]
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    for given in (path, str(path)):
        assert cells(from_records(given)) == cells(from_records(records)) == {(0, (1,)): 1}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EstimationError, match=r"records\.jsonl: line 2 is damaged, not JSON"):
        from_records(path)
    path.write_bytes(b'{"agent": "\xff"}\n')
    with pytest.raises(EstimationError, match=r"records\.jsonl: line 1 is damaged"):
        from_records(path)
    path.write_text("[]\n")
    with pytest.raises(EstimationError, match="line 1 is no record but list"):
        from_records(path)
    path.write_text("")
    with pytest.raises(EstimationError, match="there are no records"):
        from_records(path)
    with pytest.raises(EstimationError, match=r"nowhere\.jsonl: cannot be read"):
        from_records(str(tmp_path / "nowhere.jsonl"))


def test_misspelt_options_are_named():
    with pytest.raises(EstimationError, match=r"unknown use 'anwers'; did you mean 'answers'\? Known are answers, p"):
        from_records([record("first", "I")], use="anwers")
    with pytest.raises(EstimationError, match=r"unknown contradictions 'droop'; did you mean 'drop'\? Known are error, drop"):
        read_choices(table(*GOOD), contradictions="droop")
    with pytest.raises(EstimationError, match=r"unknown game 'trust_gme'; did you mean 'trust_game'\? .*\(row 1\)"):
        read_choices(table(GOOD[0], {**GOOD[1], "game": "trust_gme"}))


def test_probabilities_of_the_evaluator():
    records = [
        record("first", "I", probabilities=[0.7, 0.3]),
        record("after I", "K", probabilities=[0.2, 0.8]),
        record("first", "I", prompt=1),
    ]
    choices = from_records(records, use="probabilities")
    assert cells(choices) == pytest.approx({(0, (0, 1)): 0.7, (0, (2, 3)): 0.3, (0, (0, 2)): 0.2, (0, (1, 3)): 0.8})
    assert choices.notes == (("tuned", "1 of 2 prompts without probabilities: left out"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": "X"}, "record 0: unknown action 'X'"),
        ({"game": "chess"}, "record 0: unknown game 'chess'"),
        ({"game": "trust_gme"}, "record 0: unknown game 'trust_gme'; did you mean 'trust_game'\\? Known games: seq"),
        ({"payoffs": {"T": 1}}, "record 0: payoffs .* do not make a trust_game"),
        ({"payoffs": {"T": 1, "R": 2, "P": 3, "S": 4}}, "record 0: .*T > R > P > S"),
        ({"status": "refused", "action": None}, "nothing to estimate on: tuned: 1 of 1 prompts not answered"),
    ],
)
def test_bad_records_are_named(change, message):
    with pytest.raises(EstimationError, match=message):
        from_records([{**record("first", "I"), **change}])
    with pytest.raises(EstimationError, match="record 0 lacks belief"):
        from_records([{key: value for key, value in record("first", "I").items() if key != "belief"}])
    with pytest.raises(EstimationError, match="prompt 0 has two answers"):
        from_records([record("first", "I"), record("first", "N")])
    with pytest.raises(EstimationError, match="no records"):
        from_records([])
    with pytest.raises(EstimationError, match="sum of one"):
        from_records([record("first", "I", probabilities=[0.7, 0.7])], use="probabilities")


def test_arrays_of_numpy_serve_as_values():
    rows = [{**row, "count": np.int64(2), "belief": np.float64(0.5), "T": np.int64(80)} for row in GOOD]
    assert read_choices(table(*rows)).n == 6
