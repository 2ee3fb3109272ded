#include "cli/help_text.h"

#include <array>

namespace llm::cli {
namespace {

constexpr std::string_view kServing = "Serving";
constexpr std::string_view kModels = "Models";
constexpr std::string_view kRunning = "Running";
constexpr std::string_view kAccess = "Access";
constexpr std::string_view kSetup = "Setting up";

constexpr auto kCommands = std::to_array<CommandHelp>({
    {"serve", kServing, "Run the gateway in the foreground",
     "Serves the REST API, the OpenAI API, WebSocket and MCP over HTTP on one address, and the same on a Unix socket "
     "in the runtime directory. Ends on Ctrl-C or SIGTERM: new work is refused, running work is given "
     "server.drain_timeout to finish, then everything stops, engines included.\n"
     "Every flag below is short for a setting of llm-mcp.yaml; any other setting can be given with --set.",
     "llm-mcp serve  # on 127.0.0.1:10833\n"
     "llm-mcp serve --port 0 --idle-exit 30m  # any free port; ends after half an hour without requests\n"
     "llm-mcp serve --set models.keep_alive=-1  # never unload a model"},
    {"stdio", kServing, "Speak MCP over standard input and output, for desktop clients",
     "What Claude Desktop, Cursor, VS Code and other MCP clients start. Attaches to the gateway of this user and "
     "starts "
     "one in the background if there is none, so that several clients share one loaded model.",
     "llm-mcp stdio  # shares the gateway\n"
     "llm-mcp stdio --standalone  # everything in this one process"},
    {"chat", kRunning, "Talk to a model",
     "With a prompt: prints the answer as it comes and ends. Without one: a conversation, line by line; a line that "
     "ends with a backslash goes on in the next one. Ctrl-C stops an answer, /clear forgets the conversation, /exit or "
     "Ctrl-D ends. The word \"-\" in the prompt stands for standard input, which is also read when there is no prompt "
     "and it is not a terminal.\n"
     "The gateway is started in the background if none runs.",
     "llm-mcp chat smollm2  # a conversation\n"
     "llm-mcp chat smollm2 'Name three rivers in Europe.'\n"
     "git diff | llm-mcp chat smollm2 'Summarise this change:' -\n"
     "llm-mcp chat smollm2 --raw 'Once upon a time' --max-tokens 50  # no chat template"},
    {"pull", kModels, "Download a model",
     "SOURCE is hf:OWNER/REPO[:FILE-OR-QUANTISATION][@REVISION] for Hugging Face or a mirror (models.hub_endpoint), or "
     "an https address of a GGUF file, optionally with #sha256=HEX. Interrupted downloads go on where they stopped. "
     "The file's digest and structure are checked before the model appears.\n"
     "Of a repository with GGUF files one of them is fetched; of one without, the safetensors weights with "
     "configuration and tokenizer, for vLLM. --format says otherwise. models.allowed_sources can restrict what may be "
     "pulled.",
     "llm-mcp pull hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF\n"
     "llm-mcp pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M --name qwen2.5\n"
     "llm-mcp pull hf:Qwen/Qwen3-0.6B  # the whole repository\n"
     "llm-mcp pull https://example.org/model.gguf --name mine"},
    {"import", kModels, "Add a GGUF file or an exported folder from this machine to the model store",
     "The file is checked, hashed and put into the store under a name; by default it is copied (without using more "
     "space where the file system shares blocks). Of a folder that llm-mcp export wrote every file is compared with "
     "its checksum. Needs no gateway.",
     "llm-mcp import ~/Downloads/model.Q4_K_M.gguf --name mine\n"
     "llm-mcp import model.gguf --name mine --if-missing --quiet  # for scripts: does nothing the second time\n"
     "llm-mcp import /media/stick/qwen3"},
    {"list", kModels, "List the models", "With --quiet only names, one a line, without asking the gateway.",
     "llm-mcp list\n"
     "llm-mcp list --json | jq -r '.models[].name'"},
    {"show", kModels, "Show what is known about a model",
     "Architecture, size, context length, licence, source, aliases, and how much memory it takes.",
     "llm-mcp show smollm2"},
    {"rm", kModels, "Remove models",
     "Asks before it deletes, on a terminal; elsewhere --yes is needed. A file goes when no other name uses it. A name "
     "goes with all its versions; NAME@sha256:... removes one that is not the current one.",
     "llm-mcp rm smollm2\n"
     "llm-mcp rm --yes old:v1 old:v2"},
    {"alias", kModels, "Give models other names, and split requests among versions",
     "list shows the aliases, set makes or changes one, rm forgets it; \"alias NAME MODEL\" is short for set. With "
     "several models each gets callers by its weight, and a caller stays with one of them (by key, X-Session-Id and "
     "user). A model under --shadow gets copies of that share of the requests; its answers are thrown away. A change "
     "can be taken back with rollback.",
     "llm-mcp alias default smollm2\n"
     "llm-mcp alias set prod qwen3:8b=95 qwen3:8b@sha256:0123456789ab=5  # a canary\n"
     "llm-mcp alias set prod qwen3:8b --shadow qwen3:next=10%\n"
     "llm-mcp alias rm default"},
    {"versions", kModels, "Show the versions of a model",
     "What a name has stood for since it was first pulled or imported: each version with source, revision, licence, "
     "who brought it in, notes and the aliases that lead to it. \"*\" is the current one.",
     "llm-mcp versions qwen3:8b\n"
     "llm-mcp versions qwen3:8b --json | jq -r '.versions[].version'"},
    {"promote", kModels, "Let a name or an alias stand for another version",
     "Requests that run end with the version they began with; the next one gets the new version. A TO that is neither "
     "a model nor an alias becomes a model with a tag (NAME:TAG), an alias without.",
     "llm-mcp promote qwen3:8b@sha256:0123456789ab  # the current version of qwen3:8b again\n"
     "llm-mcp promote qwen3:next qwen3:8b\n"
     "llm-mcp promote qwen3:8b prod"},
    {"rollback", kModels, "Let a name or an alias stand for what it stood for before",
     "Each call goes back one change; versions shows where it leads.", "llm-mcp rollback qwen3:8b"},
    {"export", kModels, "Write a model to a folder that can be carried elsewhere",
     "The folder holds the files, what is known about the model, and SHA256SUMS, which sha256sum -c understands, too. "
     "An export that was cut goes on. With llm-mcp import the folder becomes the same version on another machine.",
     "llm-mcp export qwen3:8b /media/stick/qwen3"},
    {"gc", kModels, "Delete files that nothing needs any more",
     "Never what a name, an alias, its history, a running engine or a download under way needs.",
     "llm-mcp gc --dry-run\n"
     "llm-mcp gc --versions --partial"},
    {"ps", kRunning, "List the engines: models that are loaded or being loaded", "", "llm-mcp ps"},
    {"load", kRunning, "Load a model before the first request needs it",
     "The gateway is started in the background if none runs.", "llm-mcp load smollm2 --keep-alive 1h"},
    {"unload", kRunning, "Unload a model", "Waits for requests that are running, unless --force ends them.",
     "llm-mcp unload smollm2"},
    {"status", kRunning, "Show the gateway that runs: version, load, memory", "", "llm-mcp status"},
    {"stop", kRunning, "End the gateway that runs in the background",
     "Running requests are given server.drain_timeout to finish.", "llm-mcp stop"},
    {"engine", kRunning, "Plan, run and watch vLLM engines",
     "plan prints what would be started for an entry of engines.vllm, straight from the configuration and without "
     "starting anything: a command line, the container's specification, a compose file or Kubernetes objects. Secrets "
     "appear by the names of their variables only. list shows the entries and what their replicas do, info one of "
     "them, "
     "gpus the GPUs of this machine.\n"
     "start and stop act on all replicas; sleep gives GPU memory back without ending the engine, wake brings it back. "
     "adapters lists LoRA adapters and, with --load and --unload, changes them while the engine runs. metrics shows "
     "the "
     "engine's own numbers, logs its last lines.",
     "llm-mcp engine plan big --format compose > compose.yaml\n"
     "llm-mcp engine plan big --format kubernetes | kubectl apply --dry-run=server -f -\n"
     "llm-mcp engine start big\n"
     "llm-mcp engine sleep big --level 1\n"
     "llm-mcp engine adapters big --load sql=/adapters/sql"},
    {"providers", kRunning, "Use Ollama, LM Studio, vLLM and services that somebody else runs",
     "discover asks the usual ports of this machine, and those given with --port, what answers there, and prints what "
     "to put into the configuration; nothing but the loopback address is ever asked. list shows the providers of the "
     "configuration, health asks each of them, models lists what one has. pull, load, unload and delete let Ollama or "
     "LM Studio do so with their models.\n"
     "Nothing is ever sent to a service that the configuration does not name.",
     "llm-mcp providers discover\n"
     "llm-mcp providers discover --port 8001\n"
     "llm-mcp providers models ollama\n"
     "llm-mcp providers pull ollama qwen3:8b\n"
     "llm-mcp providers load ollama qwen3:8b --keep-alive 1h"},
    {"keys", kAccess, "Make, show and revoke API keys",
     "A key is printed once, when it is made or rotated: only its hash is kept. Works with a gateway that runs and "
     "without one; a revoked key is refused everywhere within a second.\n"
     "Roles: admin may everything, operator runs the gateway and its models, user runs models, viewer looks on. "
     "--scope, --model and --address narrow what the role allows.",
     "llm-mcp keys create --name admin --role admin\n"
     "llm-mcp keys create --name ci --project search --model 'qwen3*' --expires 90d\n"
     "llm-mcp keys rotate 0123456789abcdef --overlap 1h\n"
     "llm-mcp keys revoke 0123456789abcdef"},
    {"projects", kAccess, "Manage projects",
     "A project is a tenant: its keys share limits, quotas and a place in the queues. What has no project belongs to "
     "the project default.",
     "llm-mcp projects create search --name 'Search team' --weight 2\n"
     "llm-mcp projects update search --limits '{\"tokens_per_month\": 50000000}'\n"
     "llm-mcp projects disable search  # its keys are refused"},
    {"users", kAccess, "Manage users and service accounts", "Keys that belong to a user end with it.",
     "llm-mcp users create ada --project search\n"
     "llm-mcp users disable ada"},
    {"roles", kAccess, "Manage roles",
     "A role is a list of rules: permissions, on all models or on those like the patterns behind \"=\".",
     "llm-mcp roles create qwen-user --rule 'generate,models:read=qwen3*'\n"
     "llm-mcp roles list"},
    {"usage", kAccess, "Show who used how much", "Requests and tokens by day, project, key and model.",
     "llm-mcp usage --by project,model\n"
     "llm-mcp usage --from 2026-10-01 --to 2026-10-31 --by key --csv > october.csv"},
    {"audit", kAccess, "Check and read the audit trail",
     "verify checks the audit files from the first to the last line, and against the database: nothing changed, "
     "removed, "
     "added or put in another order. Its exit status is 1 if something was.",
     "llm-mcp audit verify\n"
     "llm-mcp audit verify /backup/audit  # files alone\n"
     "llm-mcp audit list --action key. --limit 20"},
    {"install", kSetup, "Set up an MCP client to use this program",
     "Puts one entry into the client's configuration file and leaves every other byte as it is, comments included. The "
     "file as it was stays beside it as FILE.bak-TIME. A second run has nothing to do; members you added to the entry "
     "stay. The entry names this very file, so run it again after you move the program.\n"
     "A configuration given with --config, and settings given with --set, become part of the entry.",
     "llm-mcp install --list\n"
     "llm-mcp install claude-desktop\n"
     "llm-mcp install cursor --arg=--standalone --env LLM_MCP_OBSERVE__LOG_LEVEL=debug\n"
     "llm-mcp install vscode --config-file .vscode/mcp.json  # for one project\n"
     "llm-mcp install zed --print  # to paste it yourself"},
    {"uninstall", kSetup, "Take this program out of an MCP client's configuration",
     "Removes the entry that llm-mcp install put in, and nothing else. The file as it was stays beside it as "
     "FILE.bak-TIME.",
     "llm-mcp uninstall claude-desktop"},
    {"doctor", kSetup, "Check this installation and say how to mend what is wrong",
     "Looks at the engine, memory, processors, GPUs, the port, directories, model files, the configuration and the "
     "gateway. The exit status is 1 if something has failed.",
     "llm-mcp doctor\n"
     "llm-mcp doctor --verify  # reads every model file again; takes a while"},
    {"config", kSetup, "Show the configuration",
     "show: the settings in force and where each comes from. reference: every setting with its description and "
     "default, as a file to start from. schema: JSON Schema of the file, for editors. path: the file that is read.",
     "llm-mcp config show\n"
     "llm-mcp config reference > ~/.config/llm-mcp/llm-mcp.yaml"},
    {"completion", kSetup, "Print a completion script for a shell", "",
     "source <(llm-mcp completion bash)\n"
     "llm-mcp completion zsh > ~/.zfunc/_llm-mcp  # a folder in $fpath\n"
     "llm-mcp completion fish > ~/.config/fish/completions/llm-mcp.fish"},
    {"version", kSetup, "Print the version", "", "llm-mcp version --json"},
    {"help", kSetup, "Show this manual, or that of a command", "", "llm-mcp help chat"},
});

}  // namespace

std::span<const CommandHelp> command_help() {
  return kCommands;
}

const CommandHelp* find_command_help(std::string_view name) {
  for (const CommandHelp& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

}  // namespace llm::cli
