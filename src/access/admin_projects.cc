#include <algorithm>

#include "access/admin.h"
#include "access/admin_support.h"
#include "access/timestamp.h"

// AccessAdmin: projects.
namespace llm::access {
namespace {

using store::ProjectRow;
using store::Session;

constexpr std::string_view kDefault = "default";

std::unexpected<Error> no_such_project() {
  return fail(ErrorCode::kNotFound, "there is no such project");
}

json::object described(const ProjectRow& row) {
  const ProjectSettings settings = read_project_settings(row.settings).value_or(ProjectSettings{});
  ProjectAnswer answer;
  answer.id = row.id;
  answer.name = row.name;
  answer.weight = settings.weight.value_or(1);
  answer.limits = settings.limits;
  answer.audit_prompts = settings.audit_prompts.value_or(false);
  answer.locality = settings.locality.value_or(ProjectLocality::kAny);
  answer.created = format_time(row.created);
  answer.disabled = time_or_nothing(row.disabled);
  return json::encode(answer);
}

template <class Request>
void take_settings(ProjectSettings& settings, const Request& request) {
  if (request.weight) settings.weight = request.weight;
  if (request.limits) settings.limits = request.limits->empty() ? std::nullopt : request.limits;
  if (request.audit_prompts) settings.audit_prompts = request.audit_prompts;
  if (request.locality) settings.locality = request.locality;
}

bool sees(const Principal& actor, const std::string& project) {
  return actor.may(Permission::kAdmin) || actor.project() == project;
}

}  // namespace

Result<json::object> AccessAdmin::create_project(json::object document, const Principal& actor) {
  const auto request = json::decode<CreateProjectRequest>(document);
  if (!request) return fail(request.error());
  if (!is_small_name(request->id, "-")) {
    return fail(ErrorCode::kInvalidArgument, "expected small letters, digits and '-', not beginning with '-'", "/id");
  }
  if (auto named = check_name(request->name, "/name"); !named) return fail(std::move(named.error()));
  return change("project.create", request->id, actor, [&](Session& session) -> Result<Change> {
    if (!actor.may(Permission::kAdmin)) return fail(ErrorCode::kPermissionDenied, "projects are made by an admin");
    ProjectSettings settings;
    take_settings(settings, *request);
    ProjectRow row{.id = request->id,
                   .name = request->name,
                   .settings = json::write(json::encode(settings)),
                   .created = now_ms_()};
    if (auto inserted = store::insert(session, row); !inserted) {
      return fail(std::move(inserted.error()).at("/id"));
    }
    return Change{row.id, row.id, {}, described(row)};
  });
}

Result<json::object> AccessAdmin::list_projects(const Principal& actor) {
  auto rows = database_.read([](Session& session) { return store::load_directory(session); });
  if (!rows) return fail(std::move(rows.error()));
  std::ranges::sort(rows->projects, {}, &ProjectRow::id);
  json::array projects;
  for (const ProjectRow& row : rows->projects) {
    if (sees(actor, row.id)) projects.push_back(described(row));
  }
  return json::object{{"projects", std::move(projects)}};
}

Result<json::object> AccessAdmin::show_project(std::string id, const Principal& actor) {
  auto row = database_.read([&](Session& session) { return store::find_project(session, id); });
  if (!row) return fail(std::move(row.error()));
  if (!*row || !sees(actor, id)) return no_such_project();
  return described(**row);
}

Result<json::object> AccessAdmin::change_project(std::string action, std::string id, json::object document,
                                                 const Principal& actor) {
  const auto request = json::decode<UpdateProjectRequest>(document);
  if (!request) return fail(request.error());
  if (request->name) {
    if (auto named = check_name(*request->name, "/name"); !named) return fail(std::move(named.error()));
  }
  return change(std::move(action), id, actor, [&](Session& session) -> Result<Change> {
    if (!actor.may(Permission::kAdmin)) return fail(ErrorCode::kPermissionDenied, "projects are changed by an admin");
    auto row = store::find_project(session, id);
    if (!row) return fail(std::move(row.error()));
    if (!*row) return no_such_project();
    ProjectRow& project = **row;
    const json::object before = described(project);
    auto settings = read_project_settings(project.settings);
    if (!settings)
      return fail(ErrorCode::kConflict, "the project's settings cannot be read: another version wrote them");
    take_settings(*settings, *request);
    project.settings = json::write(json::encode(*settings));
    if (request->name) project.name = *request->name;
    const bool off = request->disabled.value_or(project.disabled != 0);
    if (off && project.disabled == 0) {
      if (id == kDefault) {
        return fail(ErrorCode::kConflict, "the project \"default\" is the local user's and cannot be disabled");
      }
      auto kept = keep_an_admin_key(session, now_ms_(), [&](const store::KeyRow& key) { return key.project == id; });
      if (!kept) return fail(std::move(kept.error()));
      project.disabled = now_ms_();
    } else if (!off) {
      project.disabled = 0;
    }
    if (auto updated = store::update(session, project); !updated) return fail(std::move(updated.error()));
    return Change{project.id, project.id, before, described(project)};
  });
}

Result<json::object> AccessAdmin::update_project(std::string id, json::object changes, const Principal& actor) {
  return change_project("project.update", std::move(id), std::move(changes), actor);
}

Result<json::object> AccessAdmin::disable_project(std::string id, const Principal& actor) {
  return change_project("project.disable", std::move(id), {{"disabled", true}}, actor);
}

}  // namespace llm::access
