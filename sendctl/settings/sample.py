"""The commented sendctl.toml that `sendctl init` writes: every key, what it means, its default.

Text only; docs/configuration.md says more, and a test holds both equal to what is read.
"""

from __future__ import annotations

_SAMPLE = """\
# sendctl.toml: how this host sends. docs/configuration.md says more about every key.
# A key behind a "#" shows its default, or an example. Each key can also come from the environment, which wins:
# SENDCTL_<SECTION>_<KEY>, such as SENDCTL_SEND_ENABLED=true. Relative file names belong to this file's folder.

[store]
url = @URL@
# For Postgres: "postgresql://user@host/database", the password in PGPASSFILE or ~/.pgpass. Or the whole URL by
# reference, with one of these in place of url:
# url_env = "DATABASE_URL"                   # an environment variable
# url_file = "/run/secrets/sendctl-store"    # a file
# url_credential = "sendctl-store"           # a systemd credential (LoadCredential=)

[send]
enabled = false          # nothing is sent until this is true: a copied configuration stays quiet
providers = ["local"]    # tried in this order; the next one only after definite non-acceptance
# max_seconds = 55       # a pass claims nothing more after this; fits a cron job every minute. 0: no bound
# workers = 1            # sender processes of one pass
# deadline_s = 60        # longest time for one message
# claim_s = 300          # how long a claim lasts; at least twice deadline_s

[providers.local]        # writes into a folder that any mail reader opens: for trying things out
type = "maildir"
path = "outbox"
# rate = "50/s"          # at most, over all passes and hosts; also per min, h, day. Default: no limit

# [providers.relay]
# type = "smtp"
# host = "smtp.shop.example"
# port = 587                                 # default: 587 with starttls, 465 with tls, 25 with none
# tls = "starttls"                           # starttls | tls | none; never less than what is written
# username = "shop"
# password_env = "SMTP_PASSWORD"             # or password_file, or password_credential
# connections = 4                            # at once, for each worker

[journal]
# path = "sendctl-journal"                   # default: beside the SQLite file, else in the user's state folder
# witness = "/var/lib/sendctl-witness"         # remembers how far the store had come; never in a backup of the store

[reconcile]
# overdue_grace_s = 300                      # how late a due message may be before it counts as overdue
# retry_failed_after_s = 86400               # when messages that failed for a passing reason are tried again
# max_total_attempts = 6                     # tries of one message, all retries together
# mta = "postfix"                            # postfix | exim: whose logs settle what is in doubt. Default: none
# mta_logs = ["/var/log/mail.log*"]          # current and rotated files, also compressed. Default: none
# mta_providers = ["relay"]                  # that hand over to this MTA only: their silence is proof. Default: none

[events]
# spool = "events"                           # reconcile takes in the files of events put here. Default: none
# wait_s = 3600                              # how long an event may be about nothing known here

[limits]                 # for marketing: the same on every host
# per_person = "3/week"                      # most messages to one person, over all campaigns. Default: no cap
# distance = "12h"                           # least time between two messages to one person. Default: none
# quiet = "21:00-08:00"                      # hours of a person's local day without any. Default: none

# [accounts.shop]                            # a campaign with account = "shop" uses it up
# allowance = "10000/month"                  # also per day, week, year. Without: credits, by `sendctl account grant`

[letters]
# key_file = "/etc/sendctl/letters.key"      # seals letters with encrypt = true; or key_env, key_credential
# previous_key_file = "/etc/sendctl/old.key" # still opens them, until `sendctl rotate-key` has ended
"""


def sample_config(url: str) -> str:
    """The text of a new sendctl.toml for the store at `url`; sending is off and goes to a maildir."""
    escaped = url.replace("\\", "\\\\").replace('"', '\\"')
    return _SAMPLE.replace("@URL@", f'"{escaped}"')
