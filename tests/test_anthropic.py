"""Anthropic's Messages API behind the gateway, by a stand-in that replays its documented format: the OpenAI SDK in front."""
import json

import openai
import pytest

from anthropic_standin import KEY, SIGNATURE, Anthropic
from harness import error_of
from test_providers import chat, providers


@pytest.fixture
def anthropic(gateway):
    with Anthropic() as server:
        server.gateway = gateway([], providers(claude={"preset": "anthropic", "base_url": server.url, "api_key": KEY,
                                                       "models": ["claude-test"]}))
        server.client = openai.OpenAI(base_url=server.gateway.url + "/v1", api_key="x", max_retries=0)
        yield server
        server.client.close()
        assert KEY not in server.gateway.stderr()


def test_anthropic_answers(anthropic):
    answer = anthropic.client.chat.completions.create(
        model="claude-test", temperature=1.5, stop=["END"], messages=[
            {"role": "system", "content": "Be kind."}, {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "text", "text": "Hi"}]}])
    assert answer.choices[0].message.content == "Hello!"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (13, 6)
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    sent = anthropic.asked("/v1/messages")[-1].body
    assert sent["system"] == [{"type": "text", "text": "Be kind."}]
    assert sent["temperature"] == 1 and sent["stop_sequences"] == ["END"] and sent["max_tokens"] > 0
    assert sent["messages"][0]["content"][0]["source"]["type"] == "base64"


def test_anthropic_streams(anthropic):
    stream = anthropic.client.chat.completions.create(
        model="claude-test", stream=True, messages=[{"role": "user", "content": "think"}],
        stream_options={"include_usage": True})
    text, reasoning, blocks, usage = "", "", [], None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            blocks += getattr(choice.delta, "thinking_blocks", None) or []
    assert (text, reasoning) == ("Hello!", "Let me see.")
    assert blocks == [{"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE}]
    assert usage.prompt_tokens == 13 and usage.completion_tokens == 6


def test_anthropic_calls_tools(anthropic):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}]
    ask_it = {"model": "claude-test", "tools": tools, "tool_choice": "required"}
    asked = [{"role": "user", "content": "tool"}]
    whole = anthropic.client.chat.completions.create(**ask_it, messages=asked)
    call = whole.choices[0].message.tool_calls[0]
    assert whole.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    with anthropic.client.chat.completions.stream(**ask_it, messages=asked) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert (streamed.id, json.loads(streamed.function.arguments)) == (call.id, {"city": "Oslo"})
    anthropic.client.chat.completions.create(model="claude-test", tools=tools, messages=[
        *asked, whole.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "8 C"}, {"role": "user", "content": "Thanks"}])
    sent = anthropic.asked("/v1/messages")[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[1]["content"] == [{"type": "tool_use", "id": call.id, "name": "weather", "input": {"city": "Oslo"}}]
    assert [block["type"] for block in sent[2]["content"]] == ["tool_result", "text"]


def test_anthropics_errors(anthropic):
    limited = anthropic.gateway.post("/v1/chat/completions", chat("limited", model="claude-test"))
    assert limited.status_code == 429, limited.text
    assert int(limited.headers["retry-after"]) >= 1
    overloaded = anthropic.gateway.post("/v1/chat/completions", chat("overloaded", model="claude-test"))
    assert overloaded.status_code == 503, overloaded.text
    several = anthropic.gateway.post("/v1/chat/completions", chat("x", model="claude-test", n=2))
    assert several.status_code == 400 and "several answers" in error_of(several)["message"]
    vectors = anthropic.gateway.post("/v1/embeddings", {"model": "claude-test", "input": "x"})
    assert vectors.status_code == 400, vectors.text


def test_anthropics_stream_ends_in_an_error(anthropic):
    with pytest.raises(openai.APIError) as error:
        for _ in anthropic.client.chat.completions.create(model="claude-test", stream=True, messages=[
                {"role": "user", "content": "die"}]):
            pass
    assert "verloaded" in str(error.value)


def test_a_wrong_key_is_the_gateways_trouble(gateway):
    with Anthropic() as server:
        place = gateway([], providers(claude={"preset": "anthropic", "base_url": server.url, "api_key": "wrong"}))
        answer = place.post("/v1/chat/completions", chat("x", model="claude/claude-test"))
        assert answer.status_code in (502, 503), answer.text
        assert "wrong" not in answer.text


# The stand-in is as Anthropic's own client expects it.


def test_anthropics_own_client_understands_the_standin():
    anthropic = pytest.importorskip("anthropic")
    with Anthropic() as server:
        client = anthropic.Anthropic(base_url=server.root, api_key=KEY, max_retries=0)
        body = {"model": "claude-test", "max_tokens": 10}

        def message(text):
            return [{"role": "user", "content": [{"type": "text", "text": text}]}]

        assert client.messages.create(**body, messages=message("x")).content[0].text == "Hello!"
        with client.messages.stream(**body, messages=message("think")) as stream:
            final = stream.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "text"]
        assert final.content[0].signature == SIGNATURE
        with client.messages.stream(**body, messages=message("tool"), tools=[
                {"name": "weather", "input_schema": {"type": "object"}}]) as stream:
            assert stream.get_final_message().content[0].input == {"city": "Oslo"}
        with pytest.raises(anthropic.RateLimitError):
            client.messages.create(**body, messages=message("limited"))
        with pytest.raises(anthropic.APIStatusError) as failed:
            client.messages.create(**body, messages=message("overloaded"))
        assert failed.value.status_code == 529
        assert client.models.list().data[0].id == "claude-test"
