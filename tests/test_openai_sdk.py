"""The OpenAI API as its own SDK sees it."""
import base64
import json
import math
import struct

import openai
import pytest

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"],
                   "additionalProperties": False}}}


@pytest.fixture(scope="module")
def sdk(tiny):
    with openai.OpenAI(base_url=tiny.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def real_sdk(real):
    with openai.OpenAI(base_url=real.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def test_chat(sdk):
    answer = sdk.chat.completions.create(**CHAT, max_tokens=10)
    assert answer.object == "chat.completion"
    assert answer.model == "tiny"
    assert len(answer.choices[0].message.content) == 10
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 10
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 10


def test_what_only_this_engine_says_survives(tiny):
    """An answer that is not streamed has all that llama-server adds to OpenAI's shape."""
    answer = tiny.post("/v1/chat/completions", {**CHAT, "max_tokens": 4}).json()
    assert answer["timings"]["predicted_n"] == 4
    assert answer.keys() >= {"id", "created", "model", "object", "system_fingerprint", "choices", "usage"}
    assert answer["choices"][0].keys() >= {"index", "message", "finish_reason"}
    text = tiny.post("/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 4, "logprobs": 2}).json()
    assert text["object"] == "text_completion"
    assert len(text["choices"][0]["logprobs"]["content"]) == 4
    assert text["timings"]["predicted_n"] == 4


def test_a_stream_says_the_same(sdk):
    whole = sdk.chat.completions.create(**CHAT, max_tokens=30).choices[0].message.content
    chunks = list(sdk.chat.completions.create(**CHAT, max_tokens=30, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "length"
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)  # usage only for those who ask


def test_include_usage_adds_one_last_chunk(sdk):
    whole = sdk.chat.completions.create(**CHAT, max_tokens=7)
    chunks = list(sdk.chat.completions.create(**CHAT, max_tokens=7, stream=True,
                                              stream_options={"include_usage": True}))
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 7
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_usage_counts_every_choice(sdk, stream):
    request = {**CHAT, "n": 2, "max_tokens": 9, "temperature": 1.5, "logprobs": True}
    prompt_tokens = sdk.chat.completions.create(**CHAT, max_tokens=1).usage.prompt_tokens
    if stream:
        chunks = list(sdk.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
        usage = chunks[-1].usage
        tokens = {0: 0, 1: 0}
        for chunk in chunks:
            for choice in chunk.choices:
                tokens[choice.index] += len(choice.logprobs.content) if choice.logprobs else 0
        assert sum(chunk.usage is not None for chunk in chunks) == 1
    else:
        answer = sdk.chat.completions.create(**request)
        usage = answer.usage
        tokens = {choice.index: len(choice.logprobs.content) for choice in answer.choices}
        texts = {choice.message.content for choice in answer.choices}
        assert len(texts) == 2
        assert {choice.finish_reason for choice in answer.choices} == {"length"}
    assert tokens == {0: 9, 1: 9}
    assert usage.completion_tokens == 18
    assert usage.prompt_tokens == prompt_tokens
    assert usage.total_tokens == 18 + prompt_tokens


def call_weather(sdk, **options):
    return sdk.chat.completions.create(model="tiny-tools", messages=[{"role": "user", "content": "Rain in Rome?"}],
                                       tools=[WEATHER], tool_choice="required", max_tokens=400, seed=3, **options)


def test_tools_round_trip(sdk):
    choice = call_weather(sdk).choices[0]
    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0]
    assert call.id
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments).keys() == {"city"}
    answer = sdk.chat.completions.create(
        model="tiny-tools", tools=[WEATHER], tool_choice="none", max_tokens=12, temperature=0,
        messages=[{"role": "user", "content": "Rain in Rome?"}, choice.message,
                  {"role": "tool", "tool_call_id": call.id, "content": '{"rain": false}'}])
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    without = sdk.chat.completions.create(model="tiny-tools", max_tokens=1,
                                          messages=[{"role": "user", "content": "Rain in Rome?"}])
    assert answer.usage.prompt_tokens > without.usage.prompt_tokens  # the tools and the result are in the prompt


def test_streamed_tool_call(sdk):
    calls, finish = {}, None
    for chunk in call_weather(sdk, stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"name": "", "arguments": ""})
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert calls
    for call in calls.values():
        assert call["name"] == "weather"
        assert json.loads(call["arguments"]).keys() == {"city"}
    assert finish == "tool_calls"


def test_json_schema(sdk):
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"],
              "additionalProperties": False}
    answer = sdk.chat.completions.create(
        **CHAT, max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": schema, "strict": True}})
    assert json.loads(answer.choices[0].message.content)["colour"] in ("red", "blue")
    assert answer.choices[0].finish_reason == "stop"


def test_the_real_model(real_sdk):
    prompt = "The capital of France is"
    answer = real_sdk.completions.create(model="smollm2", prompt=prompt, temperature=0, max_tokens=8)
    assert " Paris" in answer.choices[0].text
    pieces = real_sdk.completions.create(model="smollm2", prompt=prompt, temperature=0, max_tokens=8, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text
    chat = real_sdk.chat.completions.create(model="smollm2", max_tokens=16, temperature=0,
                                            messages=[{"role": "user", "content": "Say hello."}])
    assert chat.choices[0].message.content
    schema = {"type": "object", "properties": {"population": {"type": "integer", "minimum": 0, "maximum": 9}},
              "required": ["population"], "additionalProperties": False}
    answer = real_sdk.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": "How many people live in Paris?"}], max_tokens=100,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}})
    assert 0 <= json.loads(answer.choices[0].message.content)["population"] <= 9


def test_embeddings(sdk):
    answer = sdk.embeddings.create(model="tiny-embed", input=["one", "two", "one"])  # the SDK asks for base64
    vectors = [item.embedding for item in answer.data]
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert [len(vector) for vector in vectors] == [64] * 3
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-6)
    assert vectors[0] != pytest.approx(vectors[1], abs=1e-3)
    assert math.sqrt(sum(x * x for x in vectors[0])) == pytest.approx(1, abs=1e-4)
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens
    plain = sdk.embeddings.create(model="tiny-embed", input="one", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(vectors[0], abs=1e-6)


def test_embeddings_as_base64(tiny):
    answer = tiny.post("/v1/embeddings", {"model": "tiny-embed", "input": "one", "encoding_format": "base64"}).json()
    data = base64.b64decode(answer["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(data) // 4}f", data)) == 64


def test_a_generation_model_in_embedding_mode(gateway):
    running = gateway(["tiny"], {"models": {"settings": {"tiny": {"mode": "embedding"}}}})
    with openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0) as client:
        assert len(client.embeddings.create(model="tiny", input="x").data[0].embedding) == 64


def test_models(sdk):
    listed = {model.id: model for model in sdk.models.list()}
    assert {"tiny", "tiny-tools", "tiny-embed"} <= listed.keys()
    one = sdk.models.retrieve("tiny")
    assert one.object == "model"
    assert one.owned_by == "local"
    assert one.created == listed["tiny"].created > 1_600_000_000


def test_errors_are_the_sdk_s_own(sdk):
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(**{**CHAT, "model": "nope"})
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("nope")
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.chat.completions.create(**{**CHAT, "temperature": -1})
    assert wrong.value.param == "temperature"
    assert wrong.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as long:
        sdk.chat.completions.create(**{**CHAT, "messages": [{"role": "user", "content": "z" * 5000}]})
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as tools:
        sdk.chat.completions.create(**CHAT, tools=[WEATHER])
    assert tools.value.param == "tools"
    with pytest.raises(openai.BadRequestError) as streamed:  # before the first event it is a plain answer
        sdk.chat.completions.create(**CHAT, tools=[WEATHER], stream=True)
    assert streamed.value.param == "tools"


def test_legacy_completions(sdk):
    one = sdk.completions.create(model="tiny", prompt="abc", max_tokens=6, temperature=0)
    assert len(one.choices[0].text) == 6
    assert one.usage.completion_tokens == 6
    two = sdk.completions.create(model="tiny", prompt=["abc", "xyz!"], max_tokens=6, temperature=0)
    assert [choice.index for choice in two.choices] == [0, 1]
    assert two.choices[0].text == one.choices[0].text
    assert two.usage.completion_tokens == 12
    assert two.usage.prompt_tokens == 4 + 5
    tokens = sdk.completions.create(model="tiny", prompt=[1, 102, 103, 104], max_tokens=6, temperature=0)
    assert tokens.choices[0].text == one.choices[0].text  # the same prompt as token ids
    streamed = list(sdk.completions.create(model="tiny", prompt=["abc", "xyz!"], max_tokens=6, temperature=0,
                                           stream=True, stream_options={"include_usage": True}))
    assert streamed[-1].usage.completion_tokens == 12
    assert streamed[-1].usage.prompt_tokens == 4 + 5
    assert streamed[-1].choices == []
    four = sdk.completions.create(model="tiny", prompt=["abc", "xyz!"], n=2, max_tokens=6, temperature=0)
    assert [choice.index for choice in four.choices] == [0, 1, 2, 3]
    assert four.usage.completion_tokens == 24
    assert four.usage.prompt_tokens == 4 + 5


def test_logprobs(sdk):
    content = sdk.chat.completions.create(**CHAT, max_tokens=3, logprobs=True,
                                          top_logprobs=2).choices[0].logprobs.content
    assert len(content) == 3
    assert all(len(item.top_logprobs) == 2 and item.logprob <= 0 for item in content)
    assert content[0].logprob == pytest.approx(content[0].top_logprobs[0].logprob, abs=1e-4)  # greedy


def test_unknown_fields_reach_the_engine(sdk):
    free = {sdk.chat.completions.create(**{**CHAT, "temperature": 3}, max_tokens=20, seed=seed).choices[0].message.content
            for seed in range(4)}
    forced = {sdk.chat.completions.create(**{**CHAT, "temperature": 3}, max_tokens=20, seed=seed,
                                          extra_body={"top_k": 1}).choices[0].message.content for seed in range(4)}
    assert len(free) == 4
    assert len(forced) == 1
    answer = sdk.chat.completions.create(**CHAT, max_tokens=5, extra_body={"return_tokens": True, "ignore_eos": True,
                                                                           "timings_per_token": True})
    assert answer.usage.completion_tokens == 5
    assert sdk.chat.completions.create(**CHAT, max_tokens=2, extra_body={"keep_alive": "10m"}).usage.completion_tokens == 2


def test_max_completion_tokens(sdk):
    assert sdk.chat.completions.create(**CHAT, max_completion_tokens=3).usage.completion_tokens == 3
