/* core_team.h: the choice of threads (csrc/cpu/team.h) against made-up times, of which core_test.c includes it. */
#include "cpu/team.h"

/* Works for so many seconds of made-up time, in mini-batches of 100 samples of which each takes `seconds[threads]`;
 * returns how many threads are chosen, and how long the work took for each second that the best would have. */
static int work_for(hdl_team *team, int most, const double *seconds, double length, double best, double *cost) {
  double now = 0, samples, done = 0;
  while (now < length) {
    hdl_team_begin(team, most, 1);
    int threads = hdl_team_next(team, &samples);
    int64_t steps = samples > 100 ? (int64_t)(samples / 100) : 1;
    double took = 100 * (double)steps * seconds[threads];
    CHECK(threads >= 1 && threads <= most, "%d threads", threads);
    CHECK(took < 0.5 || steps == 1, "%g s without a look", took);
    now += took, done += 100 * (double)steps;
    hdl_team_did(team, 100 * steps, took);
  }
  *cost = now / (done * best);
  return team->threads;
}

static void choices_of_threads(void) {
  double cost, quick[17], *s = quick, steps[] = {1e-7, 2e-6, 1e-4, 1e-2}; /* of a sample */
  for (int i = 0; i < 4; i++) {
    double one = steps[i], length = i < 3 ? 2 : 400;
    hdl_team team = {0};
    s[1] = one, s[2] = 0.55 * one; /* two pay */
    CHECK(work_for(&team, 2, s, length, s[2], &cost) == 2 && cost < 1.05, "two, %g s: %d, %g", one, team.threads, cost);
    team = (hdl_team){0}, s[2] = 4 * one; /* the second thread is slow */
    CHECK(work_for(&team, 2, s, length, one, &cost) == 1 && cost < 1.15, "one, %g s: %d, %g", one, team.threads, cost);
    s[2] = 0.55 * one; /* it no longer is */
    CHECK(work_for(&team, 2, s, 20 * length, s[2], &cost) == 2, "again two, %g s: %d", one, team.threads);
    s[2] = 4 * one; /* it is again: noticed soon */
    CHECK(work_for(&team, 2, s, i < 3 ? 0.5 : 100, one, &cost) == 1, "again one, %g s: %d", one, team.threads);
    team = (hdl_team){0};
    for (int n = 1; n <= 16; n++)
      s[n] = one * (1. / n + 0.004 * n * n); /* five would be best: of 16, 8, 4, … four are */
    CHECK(work_for(&team, 16, s, length, s[4], &cost) == 4 && cost < 1.2, "four, %g s: %d, %g", one, team.threads,
          cost);
    hdl_team_begin(&team, 16, 2);
    CHECK(team.threads == 16, "another kind of work begins anew");
  }
  hdl_team team = {0};
  s[1] = s[2] = 1e-6; /* nothing is won: fewer */
  CHECK(work_for(&team, 2, s, 1, 1e-6, &cost) == 1, "equal: %d", team.threads);
}
