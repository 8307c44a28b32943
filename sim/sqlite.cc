#include "sim/sqlite.h"

#include <sqlite3.h>

#include <filesystem>

namespace headrace::sim {

std::string QuotedName(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += c;
    quoted += c;
  }
  quoted += '"';
  return quoted;
}

void SqliteStatement::Closer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void SqliteStatement::Bind(int parameter, int64_t value) {
  HR_CHECK(sqlite3_bind_int64(statement_.get(), parameter, value) == SQLITE_OK);
}

void SqliteStatement::Bind(int parameter, std::string_view text) {
  HR_CHECK(sqlite3_bind_text64(statement_.get(), parameter, text.data(), text.size(),
                               SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
}

void SqliteStatement::Bind(int parameter, std::span<const uint8_t> bytes) {
  HR_CHECK(sqlite3_bind_blob64(statement_.get(), parameter, bytes.data(), bytes.size(),
                               SQLITE_TRANSIENT) == SQLITE_OK);
}

Result<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  sqlite3_reset(statement_.get());
  if (code == SQLITE_DONE) return false;
  return Fail(Errc::kIo, "SQLite cannot step");
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
}

bool SqliteStatement::IsInteger(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_INTEGER;
}

bool SqliteStatement::IsBlob(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_BLOB;
}

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view SqliteStatement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int bytes = sqlite3_column_bytes(statement_.get(), column);
  return text == nullptr ? std::string_view() : std::string_view(text, static_cast<size_t>(bytes));
}

std::span<const uint8_t> SqliteStatement::Blob(int column) const {
  const auto* bytes = static_cast<const uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {bytes, bytes == nullptr ? 0 : static_cast<size_t>(size)};
}

void SqliteDatabase::Closer::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Result<SqliteDatabase> SqliteDatabase::Open(const std::string& path, int flags) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  SqliteDatabase database(opened);  // even one that failed has to be closed
  if (code != SQLITE_OK) return Fail(Errc::kIo, "SQLite cannot open the file");
  return database;
}

Result<SqliteDatabase> SqliteDatabase::OpenToRead(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Fail(Errc::kNotFound, "no such file");
  return Open(path, SQLITE_OPEN_READONLY);
}

Result<SqliteDatabase> SqliteDatabase::Create(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return Fail(Errc::kExists, "the file exists");
  return Open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

Result<SqliteDatabase> SqliteDatabase::CopyOf(const SqliteDatabase& source) {
  HR_TRY(SqliteDatabase copy, Open(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  sqlite3_backup* backup =
      sqlite3_backup_init(copy.database_.get(), "main", source.database_.get(), "main");
  if (backup == nullptr) return Fail(Errc::kIo, "SQLite cannot begin the copy");
  const int code = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (code != SQLITE_DONE) return Fail(Errc::kIo, "SQLite cannot copy the file");
  return copy;
}

Status SqliteDatabase::Run(const std::string& sql) {
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Fail(Errc::kIo, "SQLite refuses the statement");
  }
  return {};
}

Result<SqliteStatement> SqliteDatabase::Prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) return Fail(Errc::kIo, "SQLite refuses the statement");
  return SqliteStatement(statement);
}

std::string SqliteDatabase::Reason() const {
  return sqlite3_errmsg(database_.get());
}

}  // namespace headrace::sim
