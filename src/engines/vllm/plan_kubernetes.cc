// Kubernetes objects for an entry: Deployment, Service and claim; of several machines a LeaderWorkerSet
// (leaderworkerset.x-k8s.io/v1) instead of the Deployment.
#include <algorithm>
#include <fmt/format.h>

#include "engines/vllm/document_text.h"
#include "engines/vllm/plan_parts.h"

namespace llm::engines {
namespace {

// A DNS label. Never "vllm": Kubernetes would inject VLLM_PORT, which is vLLM's own variable.
std::string object_name(const VllmPlanInput& input) {
  std::string name = fmt::format("llm-{}", input.name);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) c = '-';
  }
  name.resize(std::min<std::size_t>(name.size(), 50));
  while (name.ends_with('-')) name.pop_back();
  return name;
}

json::object labels_of(const VllmPlanInput& input) {
  return {{"app.kubernetes.io/name", "llm-engine"}, {"app.kubernetes.io/instance", object_name(input)}};
}

std::string secret_key(std::string_view variable) {
  std::string key(variable);
  for (char& c : key) c = c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return key;
}

json::object field_variable(std::string_view name, std::string_view path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

json::array environment(const VllmPlanInput& input, const LaunchPlan& plan, bool several) {
  json::array out;
  if (several) out.push_back(field_variable("VLLM_HOST_IP", "status.podIP"));
  for (const auto& [name, value] : plan.environment) {
    if (name == "VLLM_HOST_IP") continue;
    if (is_secret_variable(name, input.settings)) {
      out.push_back(
          json::object{{"name", name},
                       {"valueFrom", {{"secretKeyRef", {{"name", object_name(input)}, {"key", secret_key(name)}}}}}});
    } else {
      // "$(X)" would be replaced.
      std::string escaped = value;
      for (std::size_t at = 0; (at = escaped.find("$(", at)) != std::string::npos; at += 3) escaped.insert(at, "$");
      out.push_back(json::object{{"name", name}, {"value", std::move(escaped)}});
    }
  }
  return out;
}

struct Volumes {
  json::array volumes;
  json::array mounts;
};

Volumes volumes_of(const VllmPlanInput& input) {
  const std::string claim = object_name(input);
  Volumes out;
  const auto bytes = input.settings.container.shared_memory.bytes;
  out.volumes.push_back(json::object{{"name", "shared-memory"},
                                     {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", fmt::format("{}", bytes)}}}});
  out.mounts.push_back(json::object{{"name", "shared-memory"}, {"mountPath", "/dev/shm"}});
  out.volumes.push_back(json::object{{"name", "cache"}, {"persistentVolumeClaim", {{"claimName", claim}}}});
  for (const std::string_view path : {kModelCacheMount, kCompileCacheMount}) {
    out.mounts.push_back(
        json::object{{"name", "cache"}, {"mountPath", path}, {"subPath", path.substr(path.rfind('/') + 1)}});
  }
  std::size_t number = 0;
  for (const auto& mount : mounts_of(input)) {
    if (mount.target == kModelCacheMount || mount.target == kCompileCacheMount) continue;
    const std::string name = mount.target == kModelMount ? "model" : fmt::format("mount-{}", ++number);
    out.volumes.push_back(json::object{{"name", name}, {"hostPath", {{"path", mount.source}}}});
    out.mounts.push_back(json::object{{"name", name}, {"mountPath", mount.target}, {"readOnly", mount.read_only}});
  }
  return out;
}

json::object probe(int period, std::int64_t failures) {
  return {{"httpGet", {{"path", "/health"}, {"port", "http"}}},
          {"periodSeconds", period},
          {"timeoutSeconds", 5},
          {"failureThreshold", failures}};
}

json::array words_of(const std::vector<std::string>& words) {
  json::array out;
  for (const auto& word : words) out.emplace_back(word);
  return out;
}

json::object container(const VllmPlanInput& input, const LaunchPlan& plan, bool serves, bool several) {
  json::object out{{"name", "engine"}, {"image", input.settings.container.image}};
  if (const auto* entry = json::find(plan.container, "Entrypoint")) out["command"] = *entry;
  out["args"] = words_of(plan.argv);
  out["env"] = environment(input, plan, several);
  if (serves) {
    out["ports"] = json::array{json::object{{"name", "http"}, {"containerPort", kVllmPort}}};
    out["startupProbe"] = probe(10, std::max<std::int64_t>(1, input.settings.start_timeout.ms / 10'000));
    out["readinessProbe"] = probe(10, 3);
    out["livenessProbe"] = probe(30, 3);
  }
  if (uses_gpus(input.settings)) {
    out["resources"] = {{"limits", {{"nvidia.com/gpu", gpus_each(input.settings)}}}};
  }
  out["securityContext"] = json::object{{"allowPrivilegeEscalation", false}};
  if (several) out["securityContext"].get_object()["capabilities"] = {{"add", json::array{"IPC_LOCK"}}};
  out["volumeMounts"] = volumes_of(input).mounts;
  return out;
}

json::object pod(const VllmPlanInput& input, const LaunchPlan& plan, json::object labels, bool serves, bool several) {
  return {{"metadata", {{"labels", std::move(labels)}}},
          {"spec",
           {{"enableServiceLinks", false},
            {"automountServiceAccountToken", false},
            {"terminationGracePeriodSeconds", (input.settings.stop_timeout.ms + 999) / 1000},
            {"containers", json::array{container(input, plan, serves, several)}},
            {"volumes", volumes_of(input).volumes}}}};
}

json::object object(std::string_view version, std::string_view kind, const VllmPlanInput& input, json::object spec) {
  return {{"apiVersion", version},
          {"kind", kind},
          {"metadata", {{"name", object_name(input)}, {"labels", labels_of(input)}}},
          {"spec", std::move(spec)}};
}

// In a cluster the head's address and each machine's rank are not known before: the set puts them in.
VllmPlanInput for_cluster(VllmPlanInput input) {
  input.replica = 0;
  input.settings.port = 0;
  input.gpus.clear();
  input.gpu_uuids.clear();
  return input;
}

json::object deployment(const VllmPlanInput& input, const LaunchPlan& plan) {
  return object("apps/v1", "Deployment", input,
                {{"replicas", input.settings.replicas},
                 // A new Pod would wait for the GPUs that the old one holds.
                 {"strategy", {{"type", "Recreate"}}},
                 {"selector", {{"matchLabels", labels_of(input)}}},
                 {"template", pod(input, plan, labels_of(input), true, false)}});
}

json::object leader_worker_set(const VllmPlanInput& input, LaunchPlan plan) {
  const auto& nodes = input.settings.multi_node;
  const VllmFeatures features = features_of(input.known);
  const std::string model = container_model(input);
  const NodePlace place{.rank = 0,
                        .count = static_cast<std::uint32_t>(nodes.hosts.size()),
                        .head = "$(LWS_LEADER_ADDRESS)",
                        .rank_text = "$(LWS_WORKER_INDEX)",
                        .count_text = "$(LWS_GROUP_SIZE)"};
  const bool ray = nodes.backend == "ray";
  const std::vector<std::string> address{"--host", "0.0.0.0", "--port", fmt::format("{}", kVllmPort)};
  const auto plan_for = [&](std::uint32_t rank) {
    LaunchPlan one = plan;
    NodePlace at = place;
    at.rank = rank;
    one.argv = serve_arguments(input, model, features, at);
    one.container.erase("Entrypoint");
    if (!ray) one.argv.insert(one.argv.begin(), "--model");
    if (rank == 0) one.argv.insert(one.argv.end(), address.begin(), address.end());
    if (!ray) return one;
    if (rank > 0) one.argv.clear();
    const std::string script = rank == 0 ? ray_head_script("$(VLLM_HOST_IP)", nodes.port)
                                         : ray_worker_script("$(LWS_LEADER_ADDRESS)", "$(VLLM_HOST_IP)", nodes.port);
    one.container["Entrypoint"] = json::array{"/bin/sh", "-c", script, "vllm"};
    return one;
  };
  json::object leader = labels_of(input);
  leader["role"] = "leader";
  json::object worker = labels_of(input);
  worker["role"] = "worker";
  return object("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", input,
                {{"replicas", input.settings.replicas},
                 {"leaderWorkerTemplate",
                  {{"size", nodes.hosts.size()},
                   {"restartPolicy", "RecreateGroupOnPodRestart"},
                   {"leaderTemplate", pod(input, plan_for(0), std::move(leader), true, true)},
                   {"workerTemplate", pod(input, plan_for(1), std::move(worker), false, true)}}}});
}

json::object service(const VllmPlanInput& input, bool several) {
  json::object selector = labels_of(input);
  if (several) selector["role"] = "leader";
  return object("v1", "Service", input,
                {{"selector", std::move(selector)},
                 {"ports", json::array{json::object{{"name", "http"}, {"port", kVllmPort}, {"targetPort", "http"}}}}});
}

json::object claim(const VllmPlanInput& input, bool shared) {
  return object("v1", "PersistentVolumeClaim", input,
                {{"accessModes", json::array{shared ? "ReadWriteMany" : "ReadWriteOnce"}},
                 {"resources", {{"requests", {{"storage", "200Gi"}}}}}});
}

// How the Secret that the Pods read is made; its values are not known here.
std::string secret_command(const VllmPlanInput& input, const LaunchPlan& plan) {
  std::string out = fmt::format("kubectl create secret generic {}", object_name(input));
  for (const auto& [name, value] : plan.environment) {
    if (!is_secret_variable(name, input.settings)) continue;
    out += fmt::format(" --from-literal={}=\"${}\"", secret_key(name), name);
  }
  return out;
}

}  // namespace

Result<std::string> render_kubernetes(const VllmPlanInput& given) {
  const VllmPlanInput input = for_cluster(given);
  auto plan = make_launch_plan(input);
  if (!plan) return fail(std::move(plan.error()));
  const bool several = input.settings.multi_node.hosts.size() > 1;
  std::string out =
      "# The Secret with what must not stand here, made once, and the size of the claim are yours to choose:\n";
  out += "#   " + secret_command(input, *plan) + "\n";
  const bool shared = several || input.settings.replicas > 1;
  for (const auto& document :
       {claim(input, shared), several ? leader_worker_set(input, *plan) : deployment(input, *plan),
        service(input, several)}) {
    out += "---\n" + block_yaml(document);
  }
  return out;
}

}  // namespace llm::engines
