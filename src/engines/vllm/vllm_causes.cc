#include "engines/vllm/vllm_causes.h"

#include <array>

namespace llm::engines {
namespace {

constexpr std::string_view kLessGpuMemory =
    "GPU memory ran out; lower gpu_memory_utilization, max_model_len or max_num_seqs, take a quantized model, or more "
    "GPUs with a larger tensor_parallel_size";
constexpr std::string_view kNoGpu =
    "vLLM sees no GPU; check the driver (nvidia-smi) and, for a container, that the NVIDIA container toolkit is "
    "installed and the engine's gpus are right";
constexpr std::string_view kOldDriver = "the NVIDIA driver is missing or too old for this vLLM; update it";
constexpr std::string_view kGated =
    "the model is gated; accept its licence on its page and set hf_token to a token of that account";
constexpr std::string_view kBadToken = "the model hub refused the token; set hf_token to a valid one";
constexpr std::string_view kShm =
    "shared memory is too small; raise container.shared_memory (a process: the size of /dev/shm)";
constexpr std::string_view kArchitecture = "this vLLM does not know the model's architecture; a newer one may";
constexpr std::string_view kCard = "the GPU cannot do what dtype or quantization ask for; set another one";
constexpr std::string_view kFlag = "vLLM refused an option; it is of another version, or extra_args holds a wrong one";

// The first row that fits any line counts: what says more stands before what merely follows from it. The texts are
// those of vLLM 0.10.1 to 0.33 and of what it stands on (PyTorch, NCCL, Hugging Face's libraries).
constexpr auto kCauses = std::to_array<VllmCause>({
    {"is larger than the available KV cache memory", ErrorCode::kInsufficientMemory,
     "one request of max_model_len does not fit into what is left for the KV cache; lower max_model_len or raise "
     "gpu_memory_utilization",
     true},
    {"larger than the maximum number of tokens that can be stored in KV cache", ErrorCode::kInsufficientMemory,
     "one request of max_model_len does not fit into the KV cache; lower max_model_len or raise "
     "gpu_memory_utilization",
     true},
    {"No available memory for the cache blocks", ErrorCode::kInsufficientMemory,
     "the weights leave no GPU memory for the KV cache; raise gpu_memory_utilization, take a quantized model or more "
     "GPUs",
     false},
    {"is less than desired GPU memory utilization", ErrorCode::kInsufficientMemory,
     "somebody else uses the GPU's memory; stop that, choose other gpus or lower gpu_memory_utilization", true},
    {"less than desired CPU memory utilization", ErrorCode::kInsufficientMemory,
     "the machine's memory is in use; free some or lower gpu_memory_utilization", true},
    {"CUDA out of memory", ErrorCode::kInsufficientMemory, kLessGpuMemory, true},
    {"HIP out of memory", ErrorCode::kInsufficientMemory, kLessGpuMemory, true},
    {"CUDA error: out of memory", ErrorCode::kInsufficientMemory, kLessGpuMemory, true},
    {"torch.OutOfMemoryError", ErrorCode::kInsufficientMemory, kLessGpuMemory, true},
    {"Error while creating shared memory segment", ErrorCode::kEngineFailed, kShm, true},
    {"unable to write to file </torch_", ErrorCode::kEngineFailed, kShm, true},
    {"unable to allocate shared memory", ErrorCode::kEngineFailed, kShm, true},
    {"No space left on device: '/dev/shm", ErrorCode::kEngineFailed, kShm, true},
    {"No space left on device: '/psm_", ErrorCode::kEngineFailed, kShm, true},
    {"insufficient shared memory (shm)", ErrorCode::kEngineFailed, kShm, true},
    {"No space left on device", ErrorCode::kDiskFull,
     "the disk is full where models or the compile cache are kept; free some space", true},
    {"gated repo", ErrorCode::kPermissionDenied, kGated, true},
    {"GatedRepoError", ErrorCode::kPermissionDenied, kGated, false},
    {"is restricted. You must ", ErrorCode::kPermissionDenied, kGated, true},
    {"Invalid credentials in Authorization header", ErrorCode::kPermissionDenied, kBadToken, false},
    {"Invalid user token", ErrorCode::kPermissionDenied, kBadToken, false},
    {"401 Client Error", ErrorCode::kPermissionDenied, kBadToken, true},
    {"is not a local folder and is not a valid model identifier", ErrorCode::kNotFound,
     "the model hub knows no such model; check model, and hf_token if it is private", true},
    {"Repository Not Found", ErrorCode::kNotFound,
     "the model hub knows no such model; check model, and hf_token if it is private", false},
    {"RepositoryNotFoundError", ErrorCode::kNotFound,
     "the model hub knows no such model; check model, and hf_token if it is private", false},
    {"RevisionNotFoundError", ErrorCode::kNotFound, "the model has no such revision; check revision", true},
    {"couldn't connect to 'https://huggingface.co'", ErrorCode::kUnavailable,
     "the model hub cannot be reached and the model is not in the cache", true},
    {"outgoing traffic has been disabled", ErrorCode::kUnavailable,
     "the model is not in the cache and the engine may not fetch it (offline mode)", true},
    {"LocalEntryNotFoundError", ErrorCode::kUnavailable,
     "the model hub cannot be reached and the model is not in the cache", false},
    {"contains custom code which must be executed", ErrorCode::kInvalidArgument,
     "the model brings code of its own; put it on trusted_models and set trust_remote_code if you trust it", true},
    {"does not recognize this architecture", ErrorCode::kUnsupported, kArchitecture, true},
    {"are not supported for now", ErrorCode::kUnsupported, kArchitecture, true},
    {"failed to be inspected", ErrorCode::kUnsupported, kArchitecture, true},
    {"has no vLLM implementation", ErrorCode::kUnsupported, kArchitecture, true},
    {"Cannot find model module", ErrorCode::kUnsupported, kArchitecture, true},
    {"greater than the derived max_model_len", ErrorCode::kInvalidArgument,
     "max_model_len is larger than what the model was made for", true},
    {"Sleep mode is not supported on current platform", ErrorCode::kInvalidArgument,
     "this vLLM cannot sleep, which takes a GPU that it knows how to empty; set sleep_mode: false", false},
    {"is only supported on GPUs with compute capability", ErrorCode::kInvalidArgument, kCard, true},
    {"is not supported for the current GPU", ErrorCode::kInvalidArgument, kCard, true},
    {"is not supported for quantization method", ErrorCode::kInvalidArgument, kCard, true},
    {"Unknown quantization method", ErrorCode::kInvalidArgument, "vLLM knows no such quantization", true},
    {"does not match the quantization method specified", ErrorCode::kInvalidArgument,
     "the model's files are quantized in another way than quantization says; leave it empty", true},
    {"no kernel image is available for execution on the device", ErrorCode::kUnsupported,
     "this vLLM was not built for this GPU; take an image for it", false},
    {"must be divisible by tensor parallel size", ErrorCode::kInvalidArgument,
     "the model's heads cannot be divided by tensor_parallel_size; choose a divisor", true},
    {"is larger than the number of available GPUs", ErrorCode::kInvalidArgument,
     "the parallel sizes need more GPUs than the engine was given", true},
    {"Total number of attention heads", ErrorCode::kInvalidArgument,
     "the model's heads cannot be divided by tensor_parallel_size; choose a divisor", true},
    {"invalid tool call parser", ErrorCode::kInvalidArgument, "vLLM knows no such tool_call_parser", true},
    {"invalid reasoning parser", ErrorCode::kInvalidArgument, "vLLM knows no such reasoning_parser", true},
    {"unrecognized arguments:", ErrorCode::kInvalidArgument, kFlag, true},
    {"error: argument --", ErrorCode::kInvalidArgument, kFlag, true},
    {"error: ambiguous option", ErrorCode::kInvalidArgument, kFlag, true},
    {"Found no NVIDIA driver", ErrorCode::kEngineFailed, kOldDriver, false},
    {"NVIDIA driver on your system is too old", ErrorCode::kEngineFailed, kOldDriver, true},
    {"CUDA driver version is insufficient", ErrorCode::kEngineFailed, kOldDriver, true},
    {"Failed to infer device type", ErrorCode::kEngineFailed, kNoGpu, false},
    {"No CUDA GPUs are available", ErrorCode::kEngineFailed, kNoGpu, false},
    {"no CUDA-capable device is detected", ErrorCode::kEngineFailed, kNoGpu, false},
    {"libcuda.so.1: cannot open shared object file", ErrorCode::kEngineFailed, kNoGpu, false},
    {"NVML Shared Library Not Found", ErrorCode::kEngineFailed, kNoGpu, false},
    {"could not select device driver", ErrorCode::kEngineFailed, kNoGpu, true},
    {"unknown or invalid runtime name: nvidia", ErrorCode::kEngineFailed, kNoGpu, false},
    {"ddress already in use", ErrorCode::kEngineFailed,
     "the engine's port is taken; set another port, or 0 for any free one", true},
    {"vllm: not found", ErrorCode::kEngineFailed, "vLLM is not installed there; set process.python", false},
    {"No module named 'vllm", ErrorCode::kEngineFailed, "vLLM is not installed there; set process.python", false},
    {"PackageNotFoundError", ErrorCode::kEngineFailed, "the installation of vLLM is broken; install it again", true},
    {"SafetensorError", ErrorCode::kEngineFailed, "a weights file is damaged or incomplete; fetch the model again",
     true},
    {"Cannot find any model weights", ErrorCode::kNotFound, "the model holds no weights that vLLM can read", true},
    {"an illegal memory access was encountered", ErrorCode::kEngineFailed, "the GPU kernels met an error", true},
    {"NCCL error", ErrorCode::kEngineFailed, "the GPUs cannot talk to each other", true},
    {"EngineDeadError", ErrorCode::kEngineFailed, "vLLM's engine process died", false},
});

bool begins_with_word(std::string_view text, std::string_view word) {
  return text.starts_with(word) && (text.size() == word.size() || text[word.size()] == ' ');
}

}  // namespace

std::optional<std::size_t> cause_of(std::string_view line) {
  for (std::size_t row = 0; row < kCauses.size(); ++row) {
    if (line.find(kCauses[row].text) != std::string_view::npos) return row;
  }
  return std::nullopt;
}

const VllmCause& vllm_cause(std::size_t row) {
  return kCauses[row];
}

std::string_view without_log_prefix(std::string_view line) {
  if (line.starts_with('(')) {
    const auto end = line.find(") ");
    if (end != std::string_view::npos && end < 80) line.remove_prefix(end + 2);
  }
  for (const std::string_view level : {"INFO", "WARNING", "ERROR", "CRITICAL"}) {
    if (!begins_with_word(line, level)) continue;
    const auto end = line.find("] ");
    if (end != std::string_view::npos && end < 120) line.remove_prefix(end + 2);
    break;
  }
  const auto text = line.find_first_not_of(' ');
  return text == std::string_view::npos ? std::string_view() : line.substr(text);
}

}  // namespace llm::engines
