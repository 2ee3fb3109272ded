"""A stand-in for LM Studio 0.4: its REST API (version 1) and its part of the OpenAI API. `loaded`: ids of instances by
model. Paths that it does not know are answered as LM Studio does, with status 200."""
from standin_http import Reply, StandIn


class LmStudio(StandIn):
    def __init__(self):
        super().__init__()
        self.models = {"qwen/qwen3-4b": "llm", "text-embedding-nomic": "embedding"}
        self.loaded = {}
        self.looks = 0  # at the download

    def reply(self, request):
        path = request.path.strip("/")
        if path.startswith("api/v1/models/download/status/"):
            return self.download_status(path.rpartition("/")[2])
        route = getattr(self, f"{request.method}_{path.replace('/', '_')}", None)
        if route is None:
            return Reply({"error": f"Unexpected endpoint or method. ({request.method} {request.path})"})
        return route(request.body)

    def GET_api_v1_models(self, _):
        return Reply({"models": [
            {"type": kind, "publisher": "lmstudio-community", "key": key, "display_name": key,
             "quantization": {"name": "Q4_0", "bits_per_weight": 4}, "size_bytes": 241410208, "params_string": "4B",
             "loaded_instances": [{"id": one, "config": {"context_length": 4096}} for one in self.loaded.get(key, [])],
             "max_context_length": 32768, "format": "gguf"} for key, kind in self.models.items()]})

    def POST_api_v1_models_load(self, body):
        if body["model"] not in self.models:
            return Reply({"error": {"type": "invalid_request", "message": f"Model {body['model']} not found"}}, 404)
        instances = self.loaded.setdefault(body["model"], [])
        name = body["model"] + (f":{len(instances) + 1}" if instances else "")
        instances.append(name)
        return Reply({"type": self.models[body["model"]], "instance_id": name, "load_time_seconds": 0.5,
                      "status": "loaded"})

    def POST_api_v1_models_unload(self, body):
        for instances in self.loaded.values():
            if body["instance_id"] in instances:
                instances.remove(body["instance_id"])
                return Reply({"instance_id": body["instance_id"]})
        return Reply({"error": {"type": "invalid_request", "message": "no such instance"}}, 404)

    def POST_api_v1_models_download(self, body):
        self.looks = 0
        self.models[body["model"]] = "llm"
        return Reply({"job_id": "job_493c7c9ded", "status": "downloading", "total_size_bytes": 1000,
                      "downloaded_bytes": 10, "bytes_per_second": 5.5, "started_at": "2026-11-23T10:00:00.000Z"})

    def download_status(self, job):
        assert job == "job_493c7c9ded"
        return Reply({"job_id": job, "status": "completed", "total_size_bytes": 1000, "downloaded_bytes": 1000,
                      "started_at": "2026-11-23T10:00:00.000Z", "completed_at": "2026-11-23T10:00:01.000Z"})

    def GET_v1_models(self, _):
        return Reply({"object": "list", "data": [{"id": key, "object": "model", "owned_by": "organization_owner"}
                                                 for key in self.models]})
