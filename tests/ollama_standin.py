"""A stand-in for Ollama: its own API as docs/api.md has it, and its part of the OpenAI API. `models`: sizes on disk by
name; `loaded`: sizes in memory; `keep_alive`: what each was last told."""
import json

from standin_http import Reply, StandIn, sse

SIZES = {"qwen3:8b": 5_200_000_000, "nomic-embed-text:latest": 274_000_000}
DIGEST = "a" * 64


class Ollama(StandIn):
    version = "0.11.4"

    def __init__(self, models=None, port=0):
        super().__init__(port)
        self.models = dict(SIZES if models is None else models)
        self.loaded = {}
        self.keep_alive = {}

    def described(self, name):
        return {"name": name, "model": name, "size": self.models[name], "digest": DIGEST,
                "details": {"parent_model": "", "format": "gguf", "family": "qwen3", "families": ["qwen3"],
                            "parameter_size": "8.2B", "quantization_level": "Q4_K_M"}}

    def reply(self, request):
        route = getattr(self, f"{request.method}_{request.path.strip('/').replace('/', '_')}", None)
        return route(request.body) if route else Reply({"error": "404 page not found"}, 404)

    # The native API.

    def GET_api_version(self, _):
        return Reply({"version": self.version})

    def GET_api_tags(self, _):
        return Reply({"models": [{**self.described(name), "modified_at": "2026-11-20T10:00:00.5Z"}
                                 for name in self.models]})

    def GET_api_ps(self, _):
        return Reply({"models": [{**self.described(name), "expires_at": "2026-11-23T10:05:00Z", "size": size,
                                  "size_vram": size // 2, "context_length": 4096}
                                 for name, size in self.loaded.items()]})

    def POST_api_pull(self, body):
        name = body["model"]
        if name.startswith("nosuch"):
            return Reply(kind="application/x-ndjson",
                         pieces=[json.dumps(line) + "\n" for line in
                                 ({"status": "pulling manifest"},
                                  {"error": "pull model manifest: file does not exist"})])
        lines = [{"status": "pulling manifest"},
                 {"status": "pulling aaaaaaaaaaaa", "digest": "sha256:" + DIGEST, "total": 1000},
                 {"status": "pulling aaaaaaaaaaaa", "digest": "sha256:" + DIGEST, "total": 1000, "completed": 400},
                 {"status": "pulling aaaaaaaaaaaa", "digest": "sha256:" + DIGEST, "total": 1000, "completed": 1000},
                 {"status": "pulling bbbbbbbbbbbb", "digest": "sha256:" + "b" * 64, "total": 50, "completed": 50},
                 {"status": "verifying sha256 digest"}, {"status": "writing manifest"}, {"status": "success"}]
        self.models[name if ":" in name else name + ":latest"] = 1050
        return Reply(kind="application/x-ndjson", pieces=[json.dumps(line) + "\n" for line in lines])

    def DELETE_api_delete(self, body):
        if body["model"] not in self.models:
            return Reply({"error": f"model '{body['model']}' not found"}, 404)
        self.models.pop(body["model"])
        self.loaded.pop(body["model"], None)
        return Reply()

    def touch(self, body, answer):
        name = body["model"]
        if name not in self.models:
            return Reply({"error": f"model '{name}' not found"}, 404)
        self.keep_alive[name] = body.get("keep_alive")
        if str(body.get("keep_alive")) in ("0", "0s"):
            self.loaded.pop(name, None)
            return Reply({**answer, "done_reason": "unload"})
        self.loaded[name] = self.models[name] + 1_000_000
        return Reply({**answer, "done_reason": "load"})

    def POST_api_generate(self, body):
        if "embed" in body["model"]:
            return Reply({"error": f"\"{body['model']}\" does not support generate"}, 400)
        assert "prompt" not in body, "only used to load and unload"
        return self.touch(body, {"model": body["model"], "created_at": "2026-11-23T10:00:00Z", "response": "",
                                 "done": True})

    def POST_api_embed(self, body):
        return self.touch(body, {"model": body["model"], "embeddings": []})

    # The OpenAI API.

    def GET_v1_models(self, _):
        return Reply({"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "library"}
                                                 for name in self.models]})

    def POST_v1_chat_completions(self, body):
        if body["model"] not in self.models:
            return Reply({"error": {"message": f"model '{body['model']}' not found", "type": "not_found_error",
                                    "param": None, "code": None}}, 404)
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"], "system_fingerprint": "fp_ollama"}
        usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "It is blue.", "reasoning": "The sky."}
            return Reply({**head, "object": "chat.completion", "usage": usage,
                          "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        deltas = [{"role": "assistant", "content": "", "reasoning": "The sky."},
                  {"role": "assistant", "content": "It is "}, {"role": "assistant", "content": "blue."}]
        chunk = {**head, "object": "chat.completion.chunk"}
        events = [("", {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
        events.append(("", {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""},
                                                  "finish_reason": "stop"}]}))
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append(("", {**chunk, "choices": [], "usage": usage}))
        events.append(("", "[DONE]"))
        return Reply(kind="text/event-stream", pieces=sse(events))
