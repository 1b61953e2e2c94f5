"""Agents: the same answers in a batch as one by one, and probabilities as a plain computation gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tiny_model import VALUES

from moralfit.agents import Agent, LanguageAgent, RandomAgent, answer_line
from moralfit.chat import Line, LocalChat, _finished, _left_padded, _positions
from moralfit.evaluate import items
from moralfit.games import make_transfer_game
from moralfit.models import Base, Messages, chat_ids, load_base
from moralfit.recipe import ModelSection, parse_recipe
from moralfit.words import Scene, parse_reply, render_prompt, sample_scene, transfer_frames

Asked = Sequence[tuple[Scene, Messages]]


@pytest.fixture(scope="module")
def base(tiny: Path) -> Base:
    torch.set_num_threads(1)
    return load_base(ModelSection(base=str(tiny), device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def asked() -> Asked:
    recipe = parse_recipe({**VALUES, "evaluation": {"prompts": 12}, "data": {"plan_share": 0.5}}, "test")
    found = [(item.scene, item.messages) for item in items(recipe, "payoffs")]
    assert {len(scene.asked) for scene, _ in found} == {1, 2, 3}
    assert len({len(messages[-1]["content"]) for _, messages in found}) > 6, "mixed lengths"
    return found


def agent(base: Base, **options: Any) -> LanguageAgent:
    return LanguageAgent("base", "base", "base", LocalChat(base, **{"max_new_tokens": 12, "batch_size": 5, **options}))


def replies(player: Agent, asked: Asked) -> list[str]:
    found = {reply.position: reply.text for reply in player.replies(asked, [str(n) for n in range(len(asked))])}
    return [found[n] for n in range(len(asked))]


def probabilities(player: Agent, asked: Asked) -> dict[int, Any]:
    given = player.replies(asked, [str(n) for n in range(len(asked))], probabilities=True)
    return {reply.position: reply.probabilities for reply in given}


def naive_reply(base: Base, messages: Messages, most: int, begun: str = "") -> str:
    """Greedy, one token at a time, without cache, batch or padding."""
    ids = chat_ids(base.tokenizer, messages) + encode(base, begun)
    start = len(ids)
    for _ in range(most):
        with torch.no_grad():
            following = int(base.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(following)
        if following == base.tokenizer.eos_token_id:
            break
    return str(base.tokenizer.decode(ids[start:], skip_special_tokens=True)).strip()


def test_replies_are_greedy_whatever_the_batch(base: Base, asked: Asked) -> None:
    one_by_one = [naive_reply(base, messages, 12) for _, messages in asked]
    assert len(set(one_by_one)) > 3, "the tiny model must react to its prompt"
    assert replies(agent(base, batch_size=1), asked) == one_by_one
    assert replies(agent(base, batch_size=5), asked) == one_by_one
    assert replies(agent(base, batch_size=100), asked) == one_by_one


def test_a_reply_goes_on_from_words_of_the_assistant(base: Base, asked: Asked) -> None:
    """Beside conversations that end as usual; and a mark among those words counts."""
    begun = ["" if n % 3 == 0 else f"So be it.\nAnswer: {'so ' * n}" for n in range(len(asked))]
    conversations = [
        [*messages, {"role": "assistant", "content": words}] if words else messages
        for (_, messages), words in zip(asked, begun, strict=True)
    ]
    chat = LocalChat(base, max_new_tokens=9, batch_size=5)
    found = {reply.position: reply.text for reply in chat.replies(conversations, ["0"] * len(asked))}
    for n, (_, messages) in enumerate(asked):
        assert found[n] == naive_reply(base, messages, 9, begun[n])
    line = encode(base, "\nAnswer: A\nMore")
    assert _finished(base.tokenizer, [1, 1 + len(encode(base, "\nAnswer"))], "Answer:")(
        torch.tensor([[1, *line], [1, *line]]), None
    ).tolist() == [True, False]


def test_order_of_the_prompts_does_not_matter(base: Base, asked: Asked) -> None:
    order = list(range(len(asked)))
    Random(1).shuffle(order)
    straight, shuffled = replies(agent(base), asked), replies(agent(base), [asked[n] for n in order])
    assert shuffled == [straight[n] for n in order]


def test_left_padding_keeps_positions() -> None:
    ids, mask = _left_padded([[7, 8, 9], [5]], 0, "cpu")
    assert ids.tolist() == [[7, 8, 9], [0, 0, 5]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert _positions(mask).tolist() == [[0, 1, 2], [0, 0, 0]]


def test_generation_gets_the_positions_of_unpadded_rows(base: Base, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    rotary = base.model.model.rotary_emb
    hook = rotary.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs.get("position_ids", args[-1])), with_kwargs=True
    )
    replies(agent(base, batch_size=2, max_new_tokens=3), asked[:2])
    hook.remove()
    lengths = sorted((len(chat_ids(base.tokenizer, messages)) for _, messages in asked[:2]), reverse=True)
    assert [position[-1].item() for position in seen[0]] == [length - 1 for length in lengths]
    assert [position[-1].item() for position in seen[1]] == lengths


def test_preamble_is_put_before_the_prompt(base: Base, asked: Asked) -> None:
    told = [(scene, [{"role": "user", "content": f"Be good.\n\n{messages[-1]['content']}"}]) for scene, messages in asked]
    assert replies(agent(base, preamble="Be good."), asked) == replies(agent(base), told)


def encode(base: Base, text: str) -> list[int]:
    ids: list[int] = base.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def read(base: Base, asked: Asked, given: Sequence[Sequence[str]], **options: Any) -> dict[int, Any]:
    """Probabilities where later decisions are read after the actions `given`."""
    chat = LocalChat(base, **{"max_new_tokens": 12, "batch_size": 5, **options})
    conversations = [messages for _, messages in asked]
    lines = [answer_line(scene, actions) for (scene, _), actions in zip(asked, given, strict=True)]
    found = chat.replies(conversations, [""] * len(asked), "Answer:", lambda position, reply: lines[position])
    return {reply.position: reply.probabilities for reply in found}


class TestProbabilities:
    def naive(self, base: Base, scene: Scene, messages: Messages, given: Sequence[str]) -> list[list[float]]:
        """One sequence at a time: the options' probabilities after `Answer:` and the answers before."""
        ids = chat_ids(base.tokenizer, messages) + encode(base, "Answer:")
        found = []
        for number, decision in enumerate(scene.asked):
            options = [encode(base, f" {label}") for label in scene.labels[decision]]
            shared = 0
            while options[0][shared] == options[1][shared]:
                shared += 1
            with torch.no_grad():
                logits = base.model(input_ids=torch.tensor([ids + options[0][:shared]])).logits[0, -1]
            weights = [torch.softmax(logits, 0)[option[shared]].item() for option in options]
            found.append([weight / sum(weights) for weight in weights])
            chosen = given[number] if given else scene.game.information_sets[decision].actions[scene.order[decision][0]]
            ids = ids + encode(base, f" {scene.label(decision, chosen)}") + encode(base, ",")
        return found

    @pytest.mark.parametrize("answered", [True, False])
    def test_equal_a_plain_computation(self, answered: bool, base: Base, asked: Asked) -> None:
        rng = Random(2)
        given = [
            tuple(rng.choice(scene.game.information_sets[d].actions) for d in scene.asked) if answered else ()
            for scene, _ in asked
        ]
        found = read(base, asked, given)
        for n, (scene, messages) in enumerate(asked):
            expected = self.naive(base, scene, messages, given[n])
            assert len(found[n]) == len(scene.asked)
            for mine, plain in zip(found[n], expected, strict=True):
                assert mine == pytest.approx(plain, abs=1e-4)
        assert len({round(p[0][0], 3) for p in found.values()}) > 6

    def test_choices_between_more_than_two_options_are_left_out(self, base: Base, asked: Asked) -> None:
        game = make_transfer_game("dictator_game", pie=8, step=2)
        scene = sample_scene(Random(0), game, transfer_frames(game), None)
        three: Messages = [{"role": "user", "content": render_prompt(scene)}]
        found = probabilities(agent(base), [asked[0], (scene, three), asked[1]])
        assert found[1] is None
        alone = probabilities(agent(base), [asked[1]])
        assert found[2] == [pytest.approx(shares, abs=1e-5) for shares in alone[0]]

    def test_are_the_same_without_the_cache_of_the_reply(
        self, base: Base, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cached = read(base, asked, [()] * len(asked))
        monkeypatch.setattr("moralfit.chat._cropped", lambda cache, length: None)
        anew = read(base, asked, [()] * len(asked))
        assert cached.keys() == anew.keys()
        for n, shares in cached.items():
            assert shares == [pytest.approx(decision, abs=1e-5) for decision in anew[n]]

    def test_follow_the_agents_own_answers(self, base: Base, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
        scene, messages = next((s, m) for s, m in asked if len(s.asked) == 2)
        actions = [scene.game.information_sets[d].actions[scene.order[d][1]] for d in scene.asked]
        labels = [scene.label(d, action) for d, action in zip(scene.asked, actions, strict=True)]
        monkeypatch.setattr(base.tokenizer, "batch_decode", lambda ids, **_: [f"Answer: {', '.join(labels)}"] * len(ids))
        said = agent(base).replies([(scene, messages)], ["0"], probabilities=True)
        ((_, text, shares),) = said
        assert text == f"Answer: {', '.join(labels)}"
        monkeypatch.undo()
        (own,), (default,) = (read(base, [(scene, messages)], [given]).values() for given in (actions, ()))
        assert shares == [pytest.approx(decision, abs=1e-5) for decision in own]
        assert own[1] != pytest.approx(default[1], abs=1e-5)

    @pytest.mark.parametrize("cached", [True, False])
    def test_of_options_that_part_at_several_tokens(
        self, cached: bool, base: Base, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Against the probabilities of whole options, one after the other."""
        if not cached:
            monkeypatch.setattr("moralfit.chat._cropped", lambda cache, length: None)
        numbers, words = [str(n) for n in (0, 1, 10, 75, 100)], ["up", "up high", "down"]
        lines = [Line("Answer:", [numbers], [0]), None, Line("Answer:", [words, ["A", "B"], numbers], [1, 0, 3])]
        conversations = [messages for _, messages in asked[:3]]
        chat = LocalChat(base, max_new_tokens=3, batch_size=3)
        found = {reply.position: reply for reply in chat.replies(conversations, ["0"] * 3, None, lambda p, _: lines[p])}
        assert found[1].probabilities is None
        for position, line in enumerate(lines):
            if line is None:
                continue
            ids = chat_ids(base.tokenizer, conversations[position]) + encode(base, line.mark)
            for number, texts in enumerate(line.options):
                end = encode(base, ",") if number < len(line.options) - 1 else [base.tokenizer.eos_token_id]
                options = [encode(base, f" {text}") + end for text in texts]
                expected = self.along_the_tree(base, ids, options)
                assert found[position].probabilities[number] == pytest.approx(expected, abs=1e-4)
                assert sum(expected) == pytest.approx(1)
                assert max(expected) - min(expected) > 1e-3
                ids = ids + options[line.chosen[number]]

    def along_the_tree(self, base: Base, ids: list[int], options: list[list[int]]) -> list[float]:
        if len(options) == 1:
            return [1.0]
        with torch.no_grad():
            logits = base.model(input_ids=torch.tensor([ids])).logits[0, -1]
        starts = sorted({option[0] for option in options})
        weights = dict(zip(starts, torch.softmax(logits[starts], 0).tolist(), strict=True))
        found = {}
        for start in starts:
            rest = [number for number, option in enumerate(options) if option[0] == start]
            below = self.along_the_tree(base, [*ids, start], [options[number][1:] for number in rest])
            found |= {number: weights[start] * share for number, share in zip(rest, below, strict=True)}
        return [found[number] for number in range(len(options))]

    def test_options_that_are_the_same_are_refused(self, base: Base, asked: Asked) -> None:
        chat = LocalChat(base, max_new_tokens=2)
        with pytest.raises(ValueError, match="must differ: up, up"):
            list(chat.replies([asked[0][1]], ["0"], None, lambda position, reply: Line("Answer:", [["up", "up"]], [0])))

    def test_label_that_begins_another(self, base: Base, asked: Asked) -> None:
        from dataclasses import replace

        scene, messages = next((s, m) for s, m in asked if len(s.asked) == 1)
        decision = scene.asked[0]
        labels = tuple(("up", "up high") if d == decision else pair for d, pair in enumerate(scene.labels))
        scene = replace(scene, labels=labels)
        [[short, long]] = probabilities(agent(base), [(scene, messages)])[0]
        up, high = encode(base, " up"), encode(base, " up high")
        assert high[: len(up)] == up
        with torch.no_grad():
            ids = chat_ids(base.tokenizer, messages) + encode(base, "Answer:") + up
            following = torch.softmax(base.model(input_ids=torch.tensor([ids])).logits[0, -1], 0)
        end, more = following[base.tokenizer.eos_token_id].item(), following[high[len(up)]].item()
        assert [short, long] == pytest.approx([end / (end + more), more / (end + more)], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("So 3 > 2.\nAnswer: A", False),
        ("So 3 > 2.\nAnswer: A\n", True),
        ("So 3 > 2.\nAnswer:\n", False),
        ("So 3 > 2.\nAnswer:\nA, B\n", True),
        ("Answer: A\n", True),
        ("The last word. Answer: A\n", False),
        ("Answer: A\nWait.\nAnswer: ", False),
        ("x " * 60 + "\nAnswer: A\n", True),
        ("x " * 60, False),
    ],
)
def test_stops_after_a_finished_answer_line(text: str, stops: bool, base: Base) -> None:
    ids = base.tokenizer(f"{text}", add_special_tokens=False)["input_ids"]
    assert _finished(base.tokenizer, [2], "Answer:")(torch.tensor([[1, 1, *ids]]), None).tolist() == [stops]


def test_generation_ends_with_the_answer_line(base: Base, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    script = base.tokenizer("So be it.\nAnswer: A\nAnd then more and more", add_special_tokens=False)["input_ids"]
    start = len(chat_ids(base.tokenizer, asked[0][1]))

    def scripted(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        # The next token of the script, whatever the model says.
        place = int(kwargs["position_ids"][0, -1]) + 1 - start
        output.logits[:, -1] = 0
        output.logits[:, -1, script[place]] = 1e4
        return output

    hook = base.model.register_forward_hook(scripted, with_kwargs=True)
    found = replies(agent(base, max_new_tokens=len(script)), asked[:1])
    hook.remove()
    assert found == ["So be it.\nAnswer: A"]


class TestSampling:
    def texts(self, base: Base, conversations: Sequence[Messages], seeds: Sequence[str], **options: Any) -> list[str]:
        chat = LocalChat(base, **{"max_new_tokens": 12, "temperature": 1.0, **options})
        found = {reply.position: reply.text for reply in chat.replies(conversations, seeds)}
        return [found[n] for n in range(len(conversations))]

    def test_is_fixed_by_the_seed_whatever_the_batch(self, base: Base, asked: Asked) -> None:
        conversations, seeds = [messages for _, messages in asked], [f"seed {n}" for n in range(len(asked))]
        whole = self.texts(base, conversations, seeds, batch_size=100)
        assert self.texts(base, conversations, seeds, batch_size=3) == whole
        assert self.texts(base, conversations[::-1], seeds[::-1], batch_size=5) == whole[::-1]
        assert self.texts(base, conversations, [f"{seed}!" for seed in seeds], batch_size=100) != whole

    def test_draws_from_the_softmax_at_the_temperature(self, base: Base, asked: Asked) -> None:
        messages, draws = asked[0][1], 1500
        for temperature in (0.5, 1.0):
            drawn = self.texts(
                base,
                [messages] * draws,
                [str(n) for n in range(draws)],
                max_new_tokens=1,
                temperature=temperature,
                batch_size=500,
            )
            ids = torch.tensor([chat_ids(base.tokenizer, messages)])
            with torch.no_grad():
                shares = torch.softmax(base.model(input_ids=ids).logits[0, -1] / temperature, 0)
            # Of tokens that are written alike, the text cannot tell which it was.
            expected: dict[str, float] = {}
            for token, share in enumerate(shares.tolist()):
                text = base.tokenizer.decode([token], skip_special_tokens=True).strip()
                expected[text] = expected.get(text, 0) + share
            for text, share in sorted(expected.items(), key=lambda entry: -entry[1])[:5]:
                assert abs(drawn.count(text) / draws - share) < 4 * (share * (1 - share) / draws) ** 0.5 + 1e-9

    def test_is_cold_at_zero(self, base: Base, asked: Asked) -> None:
        conversations = [messages for _, messages in asked[:4]]
        assert self.texts(base, conversations, list("abcd"), temperature=0.0) == replies(agent(base), asked[:4])


def test_random_agent_is_near_chance(asked: Asked) -> None:
    many = [asked[n % len(asked)] for n in range(1200)]
    first = total = 0
    for (scene, _), reply in zip(many, replies(RandomAgent(), many), strict=True):
        parsed = parse_reply(scene, reply)
        assert parsed.status == "answered"
        for decision, action in zip(scene.asked, parsed.actions, strict=True):
            total += 1
            first += action == scene.game.information_sets[decision].actions[0]
    assert abs(first / total - 0.5) < 4 * (0.25 / total) ** 0.5
    assert replies(RandomAgent(), many) == replies(RandomAgent(), many)
    assert probabilities(RandomAgent(), asked)[0][0] == [0.5, 0.5]
