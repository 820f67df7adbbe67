/* team.c: chooses how many threads work; team.h says how. */
#include "team.h"

#include <math.h>

/* Seconds: a turn of a comparison; a turn so long that two, or one ten times as long, settle a clear difference; work
 * until the next comparison, at least and at most; work between looks at whether it is slow. */
static const double TURN = 0.0005, LONG = 0.005, PAUSE = 0.5, LONGEST_PAUSE = 16, LOOK = 0.05;
static const double TURNS = 40;   /* work takes so many times as long as a turn, so that comparing costs little */
static const double FEWER = 1.02; /* fewer threads may take so many times as long as more */
static const double CLEAR = 1.25, SLOWER = 1.3;

/* Takes turns with half or twice as many threads from now on, if there are such. */
static void compare(hdl_team *team, bool up) {
  int n = team->threads, other = up ? 2 * n : (n + 1) / 2;
  if (other > team->most) other = team->most;
  team->up = up, team->rival = other == n ? 0 : other, team->turns = 0;
}

void hdl_team_begin(hdl_team *team, int most, int64_t kind) {
  if (team->most == most && team->kind == kind) return;
  *team = (hdl_team){.kind = kind, .most = most, .threads = most, .pause = PAUSE};
  compare(team, false);
  team->turns = -1;
}

int hdl_team_next(const hdl_team *team, double *samples) {
  double left = (team->rival ? TURN : LOOK) - team->seconds;
  if (!team->rival && left <= 0) left = LOOK;
  *samples = team->most == 1 ? INFINITY : team->expected > 0 && left > 0 ? left / team->expected : 1;
  return team->rival && team->turns > 0 && team->turns % 2 ? team->rival : team->threads;
}

static double median(const double *each, int n) {
  double sorted[HDL_ROUNDS];
  for (int i = 0, at; i < n; i++) {
    for (at = i; at > 0 && sorted[at - 1] > each[i]; at--) sorted[at] = sorted[at - 1];
    sorted[at] = each[i];
  }
  return sorted[n / 2];
}

/* Lets the threads work that were faster, or goes on with still fewer, or still more. */
static void decide(hdl_team *team, double chosen, double rival) {
  bool taken = team->up ? rival * FEWER < chosen : rival <= chosen * FEWER;
  team->expected = taken ? rival : chosen;
  if (taken) team->threads = team->rival, team->moved = true, team->worked = 0;
  team->rival = 0;
  if (taken)
    compare(team, team->up);
  else if (!team->up && !team->moved)
    compare(team, true);
  if (team->rival) return;
  double longer = 2 * team->pause < LONGEST_PAUSE ? 2 * team->pause : LONGEST_PAUSE;
  team->pause = team->moved ? PAUSE : longer;
  if (team->pause < TURNS * team->turn) team->pause = TURNS * team->turn;
}

void hdl_team_did(hdl_team *team, int64_t samples, double seconds) {
  if (samples < 1) return; /* the cost was not finite */
  team->samples += (double)samples, team->seconds += seconds;
  double each = team->seconds / team->samples;
  if (!team->rival) {
    if (team->seconds < LOOK || team->seconds < TURNS / 4 * team->turn) return;
    bool slower = each > SLOWER * team->expected;
    team->since += team->seconds;
    if (slower || team->since >= team->pause) {
      team->worked = slower ? each : 0, team->since = 0, team->moved = false;
      compare(team, false);
      if (!team->rival) compare(team, true);
    }
  } else if (team->turns < 0 || team->seconds >= TURN) {
    if (team->turns >= 0) team->each[team->turns % 2][team->turns / 2] = each;
    if (team->turns <= 0) team->expected = each;
    team->turns++, team->turn = team->seconds;
    int rounds = team->turns / 2;
    if (team->turns > 0 && team->turns % 2 == 0) {
      double chosen = team->worked > 0 ? team->worked : median(team->each[0], rounds);
      double rival = median(team->each[1], rounds);
      bool enough = team->turn > (rounds > 1 ? LONG : 10 * LONG);
      bool clear = enough && (rival > CLEAR * chosen || chosen > CLEAR * rival);
      if (clear || rounds == HDL_ROUNDS) decide(team, chosen, rival);
    }
  } else {
    return; /* this turn goes on */
  }
  team->samples = team->seconds = 0;
}
