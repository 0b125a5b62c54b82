/* What a rule set of nftables may keep out. */
#include "base/err.h"
#include "cli/firewall.h"
#include "lib/test.h"

#define BASE(hook, policy, rules)                                                                  \
    "table inet filter {\n"                                                                        \
    "\tset open {\n\t\ttype inet_service\n\t\telements = { 22, 51820-51830,\n\t\t\t\t443 "         \
    "}\n\t}\n\n"                                                                                   \
    "\tchain c {\n\t\ttype filter hook " hook " priority 0; policy " policy ";\n" rules "\t}\n}\n"

TEST(a_chain_that_ends_with_drop_closes_its_hook)
{
    static const struct {
        const char *ruleset;
        bool input, forward;
    } cases[] = {
        {"", false, false},
        {BASE("input", "accept", ""), false, false},
        {BASE("input", "drop", "\t\ttcp dport 22 accept\n"), true, false},
        {BASE("forward", "drop", ""), false, true},
        {BASE("input", "accept", "\t\ttcp dport 22 accept\n\t\tdrop\n"), true, false},
        {BASE("input", "accept", "\t\tcounter drop\n"), true, false},
        {BASE("input", "accept", "\t\treject with icmpx 1\n"), true, false},
        {BASE("input", "accept", "\t\ttcp dport 23 drop\n"), false, false},
        {BASE("input", "accept", "\t\tdrop\n\t\taccept\n"), false, false},
        {BASE("output", "drop", "\t\tdrop\n"), false, false},
        {"table ip x {\n\tchain other {\n\t\tdrop\n\t}\n}\n", false, false},
        {"table inet guardmount_12 { # progname guardmountd\n\tchain c {\n"
         "\t\ttype filter hook input priority 0; policy drop;\n\t}\n}\n",
         false, false},
        {"table inet guardmount_1 {\n}\ntable inet guardmount_mine {\n\tchain c {\n"
         "\t\ttype filter hook input priority 0; policy drop;\n\t}\n}\n",
         true, false},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        if (firewall_closes(cases[i].ruleset, "input") != cases[i].input ||
            firewall_closes(cases[i].ruleset, "forward") != cases[i].forward)
            fail_msg("case %u", i);
}

TEST(a_number_is_found_alone_and_within_a_range)
{
    static const char set[] = BASE("input", "drop",
                                   "\t\tip saddr 10.0.0.112/24 udp sport 99 accept\n"
                                   "\t\tiifname \"eth7\" log prefix \"8: \"\n");

    assert_true(firewall_names(set, 22));
    assert_true(firewall_names(set, 443));
    assert_true(firewall_names(set, 51820) && firewall_names(set, 51825));
    assert_true(firewall_names(set, 51830) && firewall_names(set, 99));
    assert_false(firewall_names(set, 51819) || firewall_names(set, 51831));
    assert_false(firewall_names(set, 112) || firewall_names(set, 10) || firewall_names(set, 24));
    assert_false(firewall_names(set, 7) || firewall_names(set, 8) || firewall_names(set, 2));
    assert_false(firewall_names("", 0));
}

TEST(an_interface_is_let_through_as_a_whole_or_named_at_all)
{
    static const char set[] = BASE("input", "drop",
                                   "\t\tiifname \"lo\" accept\n"
                                   "\t\tiifname \"eth1\" tcp dport 22 accept\n"
                                   "\t\tiifname \"eth2\" ct state established accept\n"
                                   "\t\tiifname \"eth3\" drop\n"
                                   "\t\tiifname { \"eth4\", \"eth5\" } accept\n");

    assert_true(firewall_accepts_all_of(set, "lo") && firewall_accepts_all_of(set, "eth5"));
    assert_false(firewall_accepts_all_of(set, "eth1") || firewall_accepts_all_of(set, "eth2"));
    assert_false(firewall_accepts_all_of(set, "eth3") || firewall_accepts_all_of(set, "eth"));
    assert_true(firewall_names_interface(set, "eth3"));
    assert_false(firewall_names_interface(set, "hub1"));
}

TEST(a_translation_is_a_rule_and_no_name)
{
    assert_true(firewall_translates("table ip nat {\n\tchain post {\n\t\ttype nat hook postrouting "
                                    "priority 100; policy accept;\n\t\toifname \"lan0\" counter "
                                    "masquerade\n\t}\n}\n"));
    assert_true(
        firewall_translates("table ip nat {\n\tchain post {\n\t\tip saddr 10.0.0.0/8 snat to "
                            "192.0.2.1\n\t}\n}\n"));
    assert_false(firewall_translates("table ip nat {\n\tchain snat {\n\t\ttype nat hook "
                                     "postrouting priority 100; policy accept;\n\t}\n\tchain "
                                     "masquerade {\n\t}\n}\n"));
    assert_false(
        firewall_translates("table inet guardmount_1 {\n\tchain x {\n\t\tmasquerade\n\t}\n}\n"));
    assert_false(firewall_translates("table inet f {\n\tchain x {\n\t\tjump dnat_rules\n\t}\n}\n"));
    assert_false(firewall_translates(""));
}

TEST_MAIN(T(a_chain_that_ends_with_drop_closes_its_hook),
          T(a_number_is_found_alone_and_within_a_range),
          T(an_interface_is_let_through_as_a_whole_or_named_at_all),
          T(a_translation_is_a_rule_and_no_name))
