#include "engine/rcu.h"
#include <assert.h>
#include <stdbool.h>

static _Thread_local struct {
    bool registered;
    unsigned depth;
} self;

/* Every reader's leaving is an edge to everything that runs after a grace period: more than is
 * true, since it also orders readers that left later, but nothing false is reported. */
static char readers_left;

#ifdef RCU_TSAN
const char *__tsan_default_suppressions(void);

/* What liburcu does inside, with memory and locks of its own. */
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:liburcu-qsbr.so\n"
           "called_from_lib:liburcu-cds.so\n"
           "called_from_lib:liburcu-common.so\n";
}
#endif

void rcu_enter(void)
{
    if (!self.registered) {
        rcu_register_thread(); /* is online from here on */
        rcu_thread_offline();
        self.registered = true;
    }
    if (self.depth++ == 0)
        rcu_thread_online();
}

void rcu_leave(void)
{
    assert(self.depth > 0);
    if (--self.depth)
        return;
    rcu_edge_out(&readers_left);
    rcu_thread_offline();
}

void rcu_thread_done(void)
{
    assert(self.depth == 0);
    if (self.registered)
        rcu_unregister_thread();
    self.registered = false;
}

void rcu_after(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    rcu_edge_out(head);
    rcu_enter();
    call_rcu(head, fn);
    rcu_leave();
}

void rcu_after_begin(struct rcu_head *head)
{
    rcu_edge_in(head);
    rcu_edge_in(&readers_left);
}

void rcu_wait(void)
{
    assert(self.depth == 0);
    synchronize_rcu();
    rcu_edge_in(&readers_left);
}

void rcu_drain(void)
{
    assert(self.depth == 0);
    rcu_barrier();
}
